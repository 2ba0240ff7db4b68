// The page of new icons: the server makes them, the browser remembers what was asked.

import { $, recallTheme, tell, toggleTheme } from "./frame.js";
import { get, reasonOf, renewToken, upload } from "./server.js";
import { Words } from "./words.js";

const words = new Words("icons-language", {
  title: ["new icons", "新しいアイコン"],
  other: ["日本語", "English"],
  theme: ["Light or dark", "明るい・暗い"],
  empty: ["Your icon appears here", "ここにアイコンが出ます"],
  make: ["Make an icon", "アイコンを作る"],
  making: ["Making…", "作成中…"],
  seed: ["Seed", "シード"],
  renew: ["New seed each time", "毎回新しいシード"],
  steps: ["Steps", "ステップ数"],
  any: ["any", "指定なし"],
  save: ["Save as PNG", "PNGで保存"],
  recent: ["Made before", "これまでに作ったもの"],
  caption: ["Seed {0}, {1} steps, {2} s", "シード {0}、{1} ステップ、{2} 秒"],
  icon: ["Icon of seed {0}", "シード {0} のアイコン"],
  size: ["{0} by {1} pixels, made on this machine: nothing is sent.", "{0}×{1} ピクセル。このマシンで作られ、送信されません。"],
  marked: [" Each bears the watermark “{0}”, and a note in the file repeats it.", " 透かし「{0}」が入り、ファイルの注記にも書かれます。"],
  unmarked: [" They bear no watermark: keep them for your own use.", " 透かしはありません。自分だけで使ってください。"],
});
const THEME = "icons-theme";
const RECENT = 12;

recallTheme(THEME);
const about = await get("about");
const STORE = `icons of ${about.name}, ${about.image_size}, ${Object.keys(about.attributes)}`;
let shown; // the request whose icon is shown
let took; // seconds
let recent = []; // requests, the newest first

function request() {
  const attributes = Object.fromEntries(Object.entries(wished()).filter(([, v]) => v));
  return { seed: Number($("#seed").value), steps: Number($("#steps").value), attributes };
}

async function made(asked) {
  const body = JSON.stringify(asked);
  try {
    return await (await upload("make", body)).json();
  } catch (error) {
    // A server that was started again has another token.
    if (error.status === 403 && (await renewToken())) return (await upload("make", body)).json();
    throw error;
  }
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function keep() {
  const fields = ["seed", "steps"].map((id) => $(`#${id}`).value);
  const state = { fields, renew: $("#renew").checked, wishes: wished(), shown, recent };
  sessionStorage.setItem(STORE, JSON.stringify(state));
}

async function show(asked) {
  const { key, seconds } = await made(asked);
  const address = `/file/icon/${key}`;
  const picture = $("#picture");
  picture.src = address;
  await picture.decode();
  picture.alt = words.say("icon", asked.seed);
  [picture.hidden, $("#empty").hidden, $("#save").hidden] = [false, true, false];
  Object.assign($("#save"), { href: address, download: `icon-${asked.seed}-${asked.steps}.png` });
  [shown, took] = [asked, seconds];
  say();
  recent = [asked, ...recent.filter((each) => !same(each, asked))].slice(0, RECENT);
  addRecent(asked, address);
  keep();
}

function say() {
  const numbers = shown && [shown.seed, shown.steps, took.toFixed(1)];
  $("#caption").textContent = numbers ? words.say("caption", ...numbers) : "";
}

function addRecent(asked, address) {
  const list = $("#recent");
  const text = JSON.stringify(asked);
  let entry = [...list.children].find((each) => each.dataset.asked === text);
  if (!entry) {
    entry = document.createElement("li");
    const [button, image] = [document.createElement("button"), document.createElement("img")];
    entry.dataset.asked = text;
    image.alt = words.say("icon", asked.seed);
    image.src = address;
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => busy(() => show(JSON.parse(text))));
    entry.append(button);
    list.prepend(entry);
  }
  while (list.children.length > RECENT) list.lastChild.remove();
  for (const each of list.children) {
    each.firstChild.toggleAttribute("aria-current", each === entry);
  }
}

async function busy(task) {
  const button = $("#make");
  button.disabled = true;
  $("#caption").textContent = words.say("making");
  try {
    await task();
  } catch (error) {
    say();
    tell(reasonOf(error).replaceAll("`", ""), true);
  }
  button.disabled = false;
}

async function make(event) {
  event.preventDefault();
  const within = (id) => Math.min(about.most_seed, Math.max(0, Math.round($(id).value) || 0));
  const renewed = Math.floor(Math.random() * (about.most_seed + 1));
  $("#seed").value = $("#renew").checked ? renewed : within("#seed");
  await busy(() => show(request()));
  $("#make").focus();
}

function describe() {
  const { watermark, image_size: size } = about;
  const mark = watermark === null ? words.say("unmarked") : words.say("marked", watermark);
  $("#note").textContent = (about.name ? `${about.name}: ` : "") + words.say("size", ...size) + mark;
  document.title = words.say("title");
  for (const option of document.querySelectorAll('#wishes option[value=""]')) {
    option.textContent = words.say("any");
  }
}

function prepare() {
  addWishes(about.attributes);
  Object.assign($("#seed"), { max: about.most_seed });
  const least = about.fixed_steps ? about.most_steps : 1;
  Object.assign($("#steps"), { min: least, max: about.most_steps, value: about.steps });
  if (about.fixed_steps) $("#steps").value = about.most_steps;
  $("#of-steps").hidden = about.fixed_steps;
  $("#picture").style.aspectRatio = $("#empty").style.aspectRatio = about.image_size.join("/");
}

async function recall() {
  const kept = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
  if (!kept) return;
  [$("#seed").value, $("#steps").value] = kept.fields;
  $("#renew").checked = kept.renew;
  for (const select of document.querySelectorAll("#wishes select")) {
    select.value = kept.wishes[select.name] ?? "";
  }
  const last = kept.shown;
  for (const asked of [...kept.recent].reverse()) await show(asked);
  if (last) await show(last);
}

const count = () => ($("#number").textContent = $("#steps").value);
prepare();
words.translate();
describe();
$("#form").addEventListener("submit", make);
$("#form").addEventListener("input", () => { count(); keep(); });
$("#theme").addEventListener("click", () => toggleTheme(THEME));
$("#language").addEventListener("click", () => {
  words.choose(words.language === "ja" ? "en" : "ja");
  describe();
  say();
});
await busy(recall);
count();
say();
$("#make").disabled = false;
