// What both pages share: their frame, talking to the server, the theme, messages, keys.

import { $, announce, recallTheme, tell, toggleHelp, toggleTheme as toggle } from "./frame.js";
import { answer, reasonOf } from "./server.js";

export { $, announce, tell, toggleHelp } from "./frame.js";
export { get, post, reasonOf } from "./server.js";

const THEME = "facescore-theme";

$(".group").insertAdjacentHTML("beforeend", `
  <input id="jump" type="number" min="1" aria-label="Go to number" placeholder="Go to #">
  <button class="icon" id="theme" title="Light or dark (T)">◐</button>
  <button class="icon" id="help" title="All keys (?)">?</button>`);
$("dialog").insertAdjacentHTML("beforebegin", `
  <div id="unsaved" role="alert" hidden><span></span> <button>Try again</button></div>
  <div id="toast" role="alert" hidden></div>
  <p id="live" class="unseen" aria-live="polite"></p>`);
$("dialog").insertAdjacentHTML("beforeend", "<button>Close</button>");

// The page's own session number keeps pictures of another folder out of the cache.
const session = Date.now().toString(36);
export const pictureUrl = (i, side) => `/picture/${i}/${side}?${session}`;

// Why a picture cannot be shown, in the server's words.
export async function pictureProblem(i) {
  try {
    await answer(await fetch(pictureUrl(i, 160), { cache: "no-store" }));
  } catch (error) {
    return reasonOf(error);
  }
  return "";
}

export function complain(error) {
  tell(reasonOf(error), true);
}

export function say(title, text) {
  const [strong, span] = [document.createElement("strong"), document.createElement("span")];
  [strong.textContent, span.textContent] = [title, text];
  $("#notice").replaceChildren(strong, span);
  $("#notice").hidden = false;
  announce(`${title}. ${text}`);
}

// Keys act on the picture, `target`: after a click never on what was clicked, after a
// number in "Go to" and after Escape in any field. A button reached with Tab keeps the
// focus unless it changed the picture.
export function keysOn(target, press, jump) {
  const focus = () => target.focus({ preventScroll: true });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button, .cell, #boxes li");
    if (!button || button.closest("dialog") || $("dialog").open) return;
    if (event.detail || button.dataset.steps !== undefined) focus();
  });
  document.addEventListener("keydown", (event) => {
    if (!typing(event)) press(event);
    else if (event.key === "Escape" && !$("dialog").open) {
      event.preventDefault(); // it would empty a search, and tell nobody
      focus();
    }
  });
  $("#jump").addEventListener("change", (event) => {
    const i = Number(event.target.value) - 1;
    event.target.value = "";
    focus();
    jump(i);
  });
}

export function progress(done, all, word) {
  $(".progress i").style.transform = `scaleX(${all ? done / all : 0})`;
  $(".progress span").textContent =
    `${done.toLocaleString("en")} of ${all.toLocaleString("en")} ${word}`;
}

export function toggleTheme() {
  toggle(THEME);
}

const typing = (event) =>
  event.target.matches("input, select") || $("dialog").open;

recallTheme(THEME);
$("#theme").addEventListener("click", toggleTheme);
$("#help").addEventListener("click", toggleHelp);
$("dialog button").addEventListener("click", toggleHelp);
