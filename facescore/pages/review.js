// The review: which picture is shown, what is saved, what the keys do.

import {
  $, announce, complain, get, keysOn, pictureProblem, pictureUrl, post, progress, reasonOf, say,
  tell, toggleHelp, toggleTheme,
} from "./common.js";
import { colour, Editor } from "./editor.js";
import { Saver } from "./saver.js";
import { Strip } from "./strip.js";

const NAMES = {
  new: "Not yet looked at",
  suggested: "Suggested",
  draft: "Edited, not accepted",
  accepted: "Accepted",
  problem: "Problem",
  skipped: "Taken out",
  unsure: "Unsure",
  unsaved: "Not saved yet",
};
const UNSEARCHED = "Nobody has searched this folder: facescore annotate start suggests faces. Or draw them here.";
const LEARN = "facescore annotate train learns from what was accepted.";
const TODO = ["new", "suggested", "draft"];
const ASIDE = ["skipped", "unsure"];

let states = []; // as the server has them
let names = []; // of the pictures that were opened
let confidences = [];
let order = []; // numbers of pictures, as chosen and sorted
let at = 0; // place in the order
let shown = null; // what the server said of the picture, and its state here
let copied = null; // boxes to paste; else those of the picture shown before
let former = [];
let visit = 0; // of several pictures asked for, the last is shown
const past = []; // steps that can be undone: {i, boxes, state} before each
const future = [];
const loaded = new Map(); // picture -> promise of its image

const editor = new Editor($("canvas"), { changed, drawn: list });
const boxes = editor.boxes;
const strip = new Strip($(".strip"), (place) => go(place));
const saver = new Saver("save", {
  saved: (i, answer) => {
    [states[i], confidences[i]] = [answer.state, answer.confidence];
  },
  changed: () => {
    tally();
    strip.refresh();
    describe();
  },
});

async function start() {
  const queue = await get("queue");
  ({ states, confidences, names } = queue);
  $("#folder").textContent = queue.folder;
  const lost = saver.recover(queue.folder, (i) => names[i]);
  for (const [name, body] of lost) {
    const i = names.indexOf(name);
    if (i >= 0) saver.put(i, { ...body, i });
  }
  if (lost.length) tell(`Not saved before, and saved now: ${lost.length}.`);
  await saver.running;
  choose();
  $("canvas").focus({ preventScroll: true });
}

const stateOf = (i) => (saver.waiting.has(i) ? "unsaved" : states[i]);

// A picture whose acceptance waits to be saved is not asked about again.
const settled = (i) => {
  const waits = saver.waiting.get(i);
  return waits ? waits.accept || waits.aside : !TODO.includes(states[i]);
};

// Whether the fields above let a picture through: its state, name and confidence.
function passes(i) {
  const kept = $("#filter").value;
  const percent = Math.round(confidences[i] * 100);
  const [low, high] = ["#low", "#high"].map((id) => $(id).value);
  return (
    (kept === "all" || (kept === "todo" ? TODO.includes(states[i]) : states[i] === kept)) &&
    names[i].toLowerCase().includes($("#search").value.toLowerCase()) &&
    (low === "" || percent >= Number(low)) &&
    (high === "" || percent <= Number(high))
  );
}

// The order is made once, so that what was just accepted is one key away.
function choose() {
  order = states.map((_, i) => i).filter(passes);
  const sign = { worst: 1, best: -1, folder: 0 }[$("#order").value];
  const rank = (i) => (states[i] === "new" ? 2 : 0); // nothing to go by: last
  order.sort((a, b) => rank(a) - rank(b) || sign * (confidences[a] - confidences[b]) || a - b);
  strip.open(order, stateOf);
  go(0);
}

// `step`: what the picture is brought back to, instead of what the server has.
async function go(place, step = null) {
  at = Math.min(Math.max(place, 0), order.length - 1);
  const mine = ++visit;
  if (shown?.i !== order[at] && boxes.rows.length) former = boxes.rows;
  shown = null;
  editor.open(null, [], [1, 1]);
  tally();
  if (!order.length) return empty();
  const i = order[at];
  strip.go(at);
  $("#notice").hidden = true;
  try {
    await saver.running; // what is asked for next must be what was just written
    const [found, image] = await Promise.all([get("picture", { i }), load(i)]);
    if (visit !== mine) return;
    const unsaved = saver.waiting.get(i);
    if (unsaved) {
      found.boxes = unsaved.boxes;
      found.state = unsaved.accept ? "accepted" : unsaved.forget ? found.state : unsaved.aside || "draft";
    }
    shown = found;
    if (image) editor.open(image, found.boxes, [found.width, found.height], found.others);
    else await damaged(i);
    if (image && step) apply(step);
  } catch (error) {
    if (visit === mine) say("This picture could not be fetched", reasonOf(error));
    return;
  }
  describe();
  for (const next of [at + 1, at + 2]) if (next < order.length) load(order[next]);
}

// A picture that cannot be shown says why, and is no longer one to review.
async function damaged(i) {
  const text = (await pictureProblem(i)) || shown?.message || "";
  say("This picture cannot be shown", `${text} Enter goes on to the next.`);
  states[i] = "problem";
  if (shown?.i === i) Object.assign(shown, { state: "problem", message: text });
  describe();
  tally();
  strip.refresh();
  await post("damaged", { i });
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

function changed(before) {
  remember({ i: shown.i, boxes: before, state: shown.state });
  if (shown.state !== "accepted") shown.state = "draft";
  save();
}

function save() {
  const { i, state } = shown;
  const forget = state === "new" || state === "suggested";
  const aside = ASIDE.includes(state) ? state : "";
  saver.put(i, { i, boxes: boxes.rows, accept: state === "accepted", forget, aside });
  describe();
}

// What is shown, as a step that can be come back to.
const present = () => ({ i: shown.i, boxes: JSON.parse(JSON.stringify(boxes.rows)), state: shown.state });

function remember(step) {
  past.push(step);
  future.length = 0;
}

function apply({ boxes: rows, state }) {
  boxes.rows = rows.map((row) => [...row]);
  boxes.only(-1);
  shown.state = state;
  save();
  editor.draw();
}

// Undo the last step, whatever it was and on whichever picture; or redo it.
async function travel(from, to) {
  const step = from.pop();
  if (!step) return tell(from === past ? "Nothing to undo." : "Nothing to redo.");
  if (shown?.i !== step.i) {
    if (!order.includes(step.i)) {
      order.splice(at, 0, step.i);
      strip.open(order, stateOf);
    }
    await go(order.indexOf(step.i));
    if (shown?.i !== step.i || !editor.image) return from.push(step);
  }
  to.push(present());
  apply(step);
}

// Accept the picture, or take it out, or leave it as unsure; then show the next.
function settle(state, none = false) {
  if (!shown) return;
  if (!editor.image) return go(at + 1); // nothing that could be accepted
  remember(present());
  if (none) boxes.rows = [];
  shown.state = state;
  save();
  const next = order.findIndex((i, place) => place > at && !settled(i));
  const before = order.findIndex((i) => !settled(i));
  if ($("#filter").value !== "todo") go(at + 1);
  else if (next >= 0) go(next);
  else if (before >= 0) go(before);
  else {
    editor.draw();
    say("All of these are done", `Choose “All” or “Accepted” above to look again. ${LEARN}`);
  }
}

function reopen() {
  if (!["accepted", ...ASIDE].includes(shown?.state)) return;
  remember(present());
  shown.state = "draft";
  save();
}

function empty() {
  const todo = $("#filter").value === "todo" && !states.some((state) => TODO.includes(state));
  const more = "Choose others above.";
  todo ? say("Nothing left to review", `${more} ${LEARN}`) : say("No such pictures", more);
  describe();
}

function tally() {
  const accepted = states.filter((state, i) => state === "accepted" && !saver.waiting.has(i));
  const out = states.filter((state) => state === "skipped").length;
  progress(accepted.length, states.length - out, "accepted");
}

function describe() {
  const state = shown && saver.waiting.has(shown.i) && !$("#unsaved").hidden ? "unsaved" : shown?.state;
  $("#state").dataset.state = state || "new";
  $("#state").textContent = shown ? NAMES[state] : "–";
  const fix = state === "problem" && editor.image ? " Accepting replaces the file." : "";
  const hint = shown && states.every((each) => each === "new") ? UNSEARCHED : "";
  $("#message").textContent = shown?.message ? shown.message + fix : hint;
  $("#message").classList.toggle("soft", !shown?.message);
  $("#message").hidden = !$("#message").textContent;
  $("#reopen").hidden = !["accepted", ...ASIDE].includes(shown?.state);
  list();
  if (shown && editor.image) {
    const faces = boxes.rows.length === 1 ? "1 face" : `${boxes.rows.length} faces`;
    announce(`Picture ${shown.i + 1}, ${shown.name}: ${faces}${others()}, ${NAMES[state]}`);
  }
}

// What of other classes is drawn, and stays as it is.
function others() {
  const names = editor.others.map((row) => row[4]);
  return names.length ? `, beside ${names.join(", ")}` : "";
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
    item.classList.toggle("on", boxes.chosen.includes(i));
    item.addEventListener("click", (event) => {
      // The coloured mark is for fingers, which have no Ctrl.
      const also = event.ctrlKey || event.metaKey || event.target === mark;
      also ? boxes.toggle(i) : boxes.only(i);
      editor.draw();
    });
    return item;
  });
  $("#boxes").replaceChildren(...items);
  if (!shown) return ($("#caption").textContent = "");
  const zoom = Math.round(editor.view.scale * 100);
  const size = shown.width ? ` · ${shown.width} × ${shown.height} · ${zoom} %` : "";
  $("#caption").textContent = `#${shown.i + 1} · ${shown.name}${size}${others()}`;
}

function copy() {
  const rows = boxes.chosen.length ? boxes.chosen.map((i) => boxes.rows[i]) : boxes.rows;
  if (!rows.length) return tell("There is no box to copy.");
  copied = rows.map((row) => [...row]);
  tell(copied.length === 1 ? "1 box copied. V puts it here." : `${copied.length} boxes copied. V puts them here.`);
}

function paste() {
  if (!editor.image) return;
  if (!(copied || former).length) return tell("No boxes were copied.");
  boxes.paste(copied || former);
}

// Arrows step through the pictures; with Shift they move the one that is shown.
function arrow(event, step, dx, dy) {
  if (event.shiftKey) editor.view.pan(60 * dx, 60 * dy);
  else if (step) go(at + step);
}

function crosshair() {
  editor.crosshair = !editor.crosshair;
  localStorage.setItem("facescore-crosshair", editor.crosshair ? "on" : "off");
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
  enter: () => settle("accepted"),
  0: () => settle("accepted", true),
  k: () => settle("skipped"),
  m: () => settle("unsure"),
  arrowright: (event) => arrow(event, 1, -1, 0),
  arrowleft: (event) => arrow(event, -1, 1, 0),
  arrowup: (event) => arrow(event, 0, 0, 1),
  arrowdown: (event) => arrow(event, 0, 0, -1),
  escape: () => boxes.only(-1),
  c: copy,
  v: paste,
  j: () => boxes.extend(),
  i: crosshair,
  z: () => (editor.lens = true),
  "/": () => $("#search").focus(),
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
  u: (event) => (event.shiftKey ? travel(future, past) : travel(past, future)),
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

function press(event) {
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey;
  if (control && (key === "z" || key === "y")) {
    key === "y" || event.shiftKey ? travel(future, past) : travel(past, future);
  } else if (control && key === "a") boxes.choose(boxes.rows.map((_, i) => i));
  else if (control && (key === "c" || key === "v")) KEYS[key]();
  else if (control || event.altKey) return;
  else if (event.target.matches("button, li") && [" ", "enter"].includes(key)) return;
  else if (key === " ") editor.space = true;
  else if (key === "tab") {
    // Past the last box Tab leaves the picture, as everywhere.
    if (event.target !== editor.canvas || !boxes.select(event.shiftKey ? -1 : 1)) {
      return editor.draw();
    }
  } else if (KEYS[key]) KEYS[key](event);
  else return;
  event.preventDefault();
  editor.draw();
}

function jump(i) {
  if (!(i >= 0 && i < states.length)) return;
  if (!order.includes(i)) {
    $("#filter").value = "all";
    for (const id of ["#search", "#low", "#high"]) $(id).value = "";
    choose();
  }
  go(order.indexOf(i));
}

const release = () => (editor.space = editor.lens = false);
document.addEventListener("keyup", (event) => [" ", "z", "Z"].includes(event.key) && release());
addEventListener("blur", release);
keysOn(editor.canvas, press, jump);
$("#accept").addEventListener("click", () => settle("accepted"));
$("#none").addEventListener("click", () => settle("accepted", true));
$("#skip").addEventListener("click", () => settle("skipped"));
$("#unsure").addEventListener("click", () => settle("unsure"));
$("#reopen").addEventListener("click", reopen);
$("#copy").addEventListener("click", copy);
$("#delete").addEventListener("click", () => {
  boxes.chosen.length ? boxes.remove() : tell("Select a box first, with Tab or in the list.");
});
$("#undo").addEventListener("click", () => travel(past, future));
$("#paste").addEventListener("click", paste);
editor.crosshair = localStorage.getItem("facescore-crosshair") !== "off";

// Whoever chooses with the mouse goes on with the picture; with keys, with the field.
let byMouse = false;
addEventListener("pointerdown", () => (byMouse = true), true);
addEventListener("keydown", () => (byMouse = false), true);
for (const name of ["#filter", "#order"]) {
  $(name).addEventListener("change", () => {
    if (byMouse) $("canvas").focus({ preventScroll: true });
    choose();
  });
}
let typed;
for (const name of ["#search", "#low", "#high"]) {
  $(name).addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(choose, 200);
  });
}
start().catch(complain);
