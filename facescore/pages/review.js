// The review: which picture is shown, what is kept, what the keys do.

import { $, complain, get, pictureUrl, post, progress, toggleHelp, toggleTheme, typing } from "./common.js";
import { colour, Editor } from "./editor.js";
import { Strip } from "./strip.js";

const NAMES = {
  new: "Not yet looked at",
  suggested: "Suggested",
  draft: "Edited, not accepted",
  accepted: "Accepted",
  problem: "Problem",
};
const KEPT = { todo: ["new", "suggested", "draft"], accepted: ["accepted"], problem: ["problem"] };

let states = [];
let confidences = [];
let order = []; // numbers of pictures, as chosen and sorted
let at = 0; // place in the order
let shown = null; // what the server said of the picture
let unsaved = false;
let saving = Promise.resolve();
let visit = 0; // of several pictures asked for, the last is shown
const loaded = new Map(); // picture -> promise of its image

const editor = new Editor($("canvas"), { changed, drawn: list });
const boxes = editor.boxes;
const strip = new Strip($(".strip"), (place) => go(place));

async function start() {
  const queue = await get("queue");
  ({ states, confidences } = queue);
  $("#folder").textContent = queue.folder;
  choose();
}

// The order is made once, so that what was just accepted is one key away.
function choose() {
  const kept = KEPT[$("#filter").value] || Object.keys(NAMES);
  order = states.map((_, i) => i).filter((i) => kept.includes(states[i]));
  const sign = { worst: 1, best: -1, folder: 0 }[$("#order").value];
  const rank = (i) => (states[i] === "new" ? 2 : 0); // nothing to go by: last
  order.sort((a, b) => rank(a) - rank(b) || sign * (confidences[a] - confidences[b]) || a - b);
  strip.open(order, states);
  go(0);
}

async function go(place) {
  if (shown) keep();
  at = Math.min(Math.max(place, 0), order.length - 1);
  const mine = ++visit;
  shown = null;
  editor.open(null, [], [1, 1]);
  tally();
  if (!order.length) return empty();
  const i = order[at];
  strip.go(at);
  $("#notice").hidden = true;
  try {
    await saving; // what is asked for next must be what was just written
    const [found, image] = await Promise.all([get("picture", { i }), load(i)]);
    if (visit !== mine) return;
    shown = found;
    if (image) editor.open(image, found.boxes, [found.width, found.height]);
    else say("This picture cannot be shown", "Enter goes on to the next.");
  } catch (error) {
    return complain(error);
  }
  describe();
  for (const next of [at + 1, at + 2]) if (next < order.length) load(order[next]);
}

function load(i, side = 1600) {
  if (!loaded.has(i)) {
    const image = new Image();
    image.src = pictureUrl(i, side);
    loaded.set(i, image.decode().then(() => image, () => null));
    if (loaded.size > 8) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(i);
}

// Zoomed in, a large picture is fetched again with more pixels.
async function sharpen() {
  const image = editor.image;
  if (!image || !shown || editor.sharp === image) return;
  const had = image.naturalWidth / shown.width;
  if (had >= 1 || editor.view.scale * devicePixelRatio < had * 1.3) return;
  editor.sharp = image;
  const i = shown.i;
  const more = new Image();
  more.src = pictureUrl(i, 4096);
  await more.decode().catch(() => {});
  if (shown?.i === i && more.naturalWidth) {
    editor.image = editor.sharp = more;
    editor.draw();
  }
}

function changed() {
  unsaved = true;
  if (shown.state !== "accepted") shown.state = "draft";
  describe();
  keep();
}

// Writes go one after another; each carries all boxes of its picture.
function keep(accept = shown?.state === "accepted", force = false) {
  if (!shown || !(unsaved || force) || !editor.image) return;
  unsaved = false;
  const body = { i: shown.i, boxes: boxes.rows, accept };
  const data = JSON.parse(JSON.stringify(body));
  saving = saving
    .then(() => post("save", data))
    .then(({ i, state, confidence }) => {
      [states[i], confidences[i]] = [state, confidence];
      tally();
      strip.refresh();
    })
    .catch(complain);
}

function accept(none = false) {
  if (!shown) return;
  if (!editor.image) return go(at + 1); // nothing that could be accepted
  if (none) boxes.clear();
  shown.state = "accepted";
  states[shown.i] = "accepted";
  keep(true, true);
  const next = order.findIndex((i, place) => place > at && states[i] !== "accepted");
  const before = order.findIndex((i) => states[i] !== "accepted");
  if ($("#filter").value !== "todo") go(at + 1);
  else if (next >= 0) go(next);
  else if (before >= 0) go(before);
  else {
    describe();
    say("All of these are accepted", "Choose “All” or “Accepted” above to look again.");
  }
}

function reopen() {
  if (shown?.state !== "accepted") return;
  shown.state = "draft";
  keep(false, true);
  describe();
}

function empty() {
  const todo = $("#filter").value === "todo";
  say(todo ? "Nothing left to review" : "No such pictures", "Choose others above.");
  describe();
}

function say(title, text) {
  const [strong, span] = [document.createElement("strong"), document.createElement("span")];
  [strong.textContent, span.textContent] = [title, text];
  $("#notice").replaceChildren(strong, span);
  $("#notice").hidden = false;
}

function tally() {
  progress(states.filter((state) => state === "accepted").length, states.length, "accepted");
}

function describe() {
  const state = shown?.state || "new";
  $("#state").dataset.state = state;
  $("#state").textContent = shown ? NAMES[state] : "–";
  $("#message").hidden = !shown?.message;
  const mend = state === "problem" && shown.width ? " Accepting replaces the file." : "";
  $("#message").textContent = (shown?.message || "") + mend;
  $("#reopen").hidden = state !== "accepted";
  list();
}

// The list beside the picture, and the line under it.
function list() {
  sharpen();
  $("#count").textContent = boxes.rows.length || (shown ? "none" : "");
  const items = boxes.rows.map((row, i) => {
    const [item, mark, text] = ["li", "i", "span"].map((tag) => document.createElement(tag));
    mark.style.background = colour(row);
    const size = `${Math.round(row[2] - row[0])} × ${Math.round(row[3] - row[1])}`;
    text.textContent = row[4] < 1 ? `${Math.round(row[4] * 100)} %` : "by hand";
    if (shown?.state === "accepted" && row[4] === 1) text.textContent = "label";
    item.append(mark, `${i + 1}  ·  ${size}`, text);
    item.classList.toggle("on", i === boxes.selected);
    item.addEventListener("click", () => select(i));
    return item;
  });
  $("#boxes").replaceChildren(...items);
  if (!shown) return ($("#caption").textContent = "");
  const zoom = Math.round(editor.view.scale * 100);
  const size = shown.width ? ` · ${shown.width} × ${shown.height} · ${zoom} %` : "";
  $("#caption").textContent = `#${shown.i + 1} · ${shown.name}${size}`;
}

function select(i) {
  boxes.selected = i;
  editor.draw();
}

function nudge(key, large) {
  if (!boxes.current) boxes.select(1);
  if (!boxes.current) return;
  const step = Math.max(1, Math.round(3 / editor.view.scale));
  const [dx, dy] = { w: [0, -step], a: [-step, 0], s: [0, step], d: [step, 0] }[key];
  boxes.change(() => (large ? boxes.resize("es", dx, dy) : boxes.move(dx, dy)));
}

function grow(factor) {
  if (!boxes.current) boxes.select(1);
  if (boxes.current) boxes.change(() => boxes.grow(factor));
}

const KEYS = {
  enter: () => accept(),
  0: () => accept(true),
  arrowright: () => go(at + 1),
  arrowleft: () => go(at - 1),
  tab: (event) => boxes.select(event.shiftKey ? -1 : 1),
  escape: () => (boxes.selected = -1),
  x: () => boxes.remove(),
  delete: () => boxes.remove(),
  backspace: () => boxes.remove(),
  n: () => boxes.addAt(editor.view.toPicture(editor.pointer || editor.view.area.map((v) => v / 2))),
  w: (event) => nudge("w", event.shiftKey),
  a: (event) => nudge("a", event.shiftKey),
  s: (event) => nudge("s", event.shiftKey),
  d: (event) => nudge("d", event.shiftKey),
  q: () => grow(1 / 1.06),
  e: () => grow(1.06),
  u: (event) => (event.shiftKey ? boxes.redo() : boxes.undo()),
  r: () => boxes.restore(),
  o: reopen,
  h: () => (editor.hidden = !editor.hidden),
  f: () => editor.toggleFit(),
  "+": () => editor.view.zoom(1.25),
  "=": () => editor.view.zoom(1.25),
  "-": () => editor.view.zoom(0.8),
  g: () => $("#jump").focus(),
  t: toggleTheme,
  "?": toggleHelp,
};

document.addEventListener("keydown", (event) => {
  if (typing(event)) {
    if (event.key === "Escape" && !$("dialog").open) event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey;
  if (key === " ") editor.space = true;
  if (control && (key === "z" || key === "y")) {
    key === "y" || event.shiftKey ? boxes.redo() : boxes.undo();
  } else if (key !== " " && (control || event.altKey || !KEYS[key])) return;
  else if (event.target.matches("button") && (key === "enter" || key === "tab")) return;
  else if (key !== " ") KEYS[key](event);
  event.preventDefault();
  editor.draw();
});
document.addEventListener("keyup", (event) => event.key === " " && (editor.space = false));
addEventListener("pagehide", () => keep());
$("#accept").addEventListener("click", () => accept());
$("#none").addEventListener("click", () => accept(true));
$("#reopen").addEventListener("click", reopen);
for (const name of ["#filter", "#order"]) {
  $(name).addEventListener("change", (event) => {
    event.target.blur();
    choose();
  });
}
$("#jump").addEventListener("change", (event) => {
  const i = Number(event.target.value) - 1;
  event.target.value = "";
  event.target.blur();
  if (!(i >= 0 && i < states.length)) return;
  if (!order.includes(i)) {
    $("#filter").value = "all";
    choose();
  }
  go(order.indexOf(i));
});
start().catch(complain);
