// Rating: one key a picture.

import {
  $, announce, complain, get, keysOn, pictureProblem, pictureUrl, progress, say, tell,
  toggleHelp, toggleTheme,
} from "./common.js";
import { Saver } from "./saver.js";

let scores = []; // of all pictures, 0 for none
let at = 0;
let broken = false; // the picture shown cannot be read
const done = []; // [picture, score before], the last at the end
const loaded = new Map();
let asks = false; // whether the server chooses the next picture
let asked = []; // what it chose, the next one first
let asking = null; // the question under way
let stale = false; // whether to ask once more after it
let choosing = false; // no picture is shown that a key could be meant for
let settled = false;
const skipped = new Set();
const saver = new Saver("rate", { saved: ask, changed: tally });

async function start() {
  const queue = await get("queue");
  [scores, asks] = [queue.scores, queue.asks];
  const lost = saver.recover(queue.folder, (i) => queue.names[i]);
  for (const [name, body] of lost) {
    const i = queue.names.indexOf(name);
    if (i >= 0) write(i, body.score);
  }
  if (lost.length) tell(`Not saved before, and saved now: ${lost.length}.`);
  else if (!scores.some(Boolean)) tell("1 is what you like least, 5 most. Keys, or the buttons below.");
  $("#folder").textContent = queue.folder;
  $("#table").textContent = queue.table;
  for (let score = 1; score <= 5; score++) {
    const button = document.createElement("button");
    button.dataset.steps = "";
    button.setAttribute("aria-label", `Score ${score}`);
    button.title = { 1: "least liked", 5: "most liked" }[score] ?? "";
    const parts = ["i", "strong", "span"].map((tag) => document.createElement(tag));
    parts[1].textContent = score;
    parts[2].setAttribute("aria-hidden", "true"); // how often it was given
    button.append(...parts);
    button.addEventListener("click", () => rate(score));
    $("#scores").append(button);
  }
  $("#taste").hidden = !asks;
  if (asks) {
    at = -1;
    return next();
  }
  const first = scores.indexOf(0);
  first >= 0 ? go(first) : end();
}

// Ask which pictures come next. Those on their way to the server, and those skipped, may
// be among them.
function ask() {
  if (!asks) return null;
  stale = asking !== null; // the answer under way may not know the last score
  asking ||= get("ask", { count: 4 + saver.waiting.size + skipped.size })
    .then((answer) => {
      asked = answer.next;
      curve(answer);
    })
    .catch(complain)
    .finally(() => {
      asking = null;
      if (stale) ask();
    });
  return asking;
}

const isOpen = (i) => !scores[i] && !skipped.has(i) && i !== at;

// How well the scores predict each other, over their number: 0 below, 1 on top.
function curve({ curve: points, settled: now }) {
  const [n, value] = points.at(-1) || [0, null];
  const text = value === null ? "agreement after 10 scores"
    : `agreement ${value.toFixed(2)}, ${n} scores`;
  $("#taste span").textContent = now ? `${text}: more ratings change little` : text;
  const first = points.length ? points[0][0] : 0;
  const place = ([x, y]) => `${(118 * (x - first)) / Math.max(1, n - first) + 1},${31 - 30 * Math.max(0, y)}`;
  $("#taste polyline").setAttribute("points", points.map(place).join(" "));
  if (now && !settled) tell("More ratings change little. Stop here, or go on.");
  settled = now;
}

function load(i) {
  if (!loaded.has(i)) {
    const image = new Image();
    image.src = pictureUrl(i, 1600);
    loaded.set(i, image.decode().then(() => image.src, () => null));
    if (loaded.size > 12) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(i);
}

async function go(i) {
  if (i < 0 || i >= scores.length) return;
  at = i;
  broken = false;
  tally();
  $("#notice").hidden = true;
  $("#caption").textContent = `#${i + 1}`;
  let waiting = setTimeout(() => ($("#picture").hidden = true), 150);
  const [source, found] = await Promise.all([load(i), get("picture", { i }).catch(complain)]);
  clearTimeout(waiting);
  if (at !== i) return;
  $("#picture").hidden = broken = !source;
  $("#picture").classList.remove("own");
  if (source) $("#picture").src = source;
  else say("This picture cannot be shown", `${await pictureProblem(i)} Skip it with S.`);
  if (at !== i) return;
  if (source) announce(`Picture ${i + 1}, ${found?.name || ""}: ${scores[i] || "no score"}`);
  $("#caption").textContent = `#${i + 1} · ${found?.name || ""}`;
  const coming = asks ? asked.filter(isOpen).slice(0, 3) : [i + 1, i + 2, i + 3];
  for (const next of coming) if (next < scores.length) load(next);
}

async function next() {
  if (asks) {
    choosing = true;
    for (let tries = 0; tries < 2 && !asked.some(isOpen); tries++) await ask();
    choosing = false;
    const i = asked.find(isOpen) ?? scores.findIndex((_, i) => isOpen(i));
    return i >= 0 ? go(i) : end();
  }
  let i = scores.indexOf(0, at + 1);
  if (i < 0 && at === scores.length) return;
  i >= 0 ? go(i) : end();
}

// Skipped ones are left for another time: the end is the end of the list.
function end() {
  at = scores.length;
  tally();
  $("#picture").hidden = true;
  $("#caption").textContent = "";
  const left = scores.filter((score) => !score).length;
  if (left) say(`${left} skipped`, "Press G and a number, or ← to go back.");
  else say("Every picture has a score", "Close this page, and stop the command with Ctrl-C. facescore train-scorer learns from the scores.");
}

function rate(score) {
  if (choosing || at >= scores.length || (broken && score)) return;
  done.push([at, scores[at]]);
  write(at, score);
  $("#mark").textContent = score || "";
  $("#mark").classList.remove("on");
  void $("#mark").offsetWidth; // begins the animation anew
  $("#mark").classList.add("on");
  score ? next() : tally();
}

function skip() {
  if (choosing) return;
  if (at < scores.length) skipped.add(at);
  next();
}

function undo() {
  if (!done.length) return;
  const [i, before] = done.pop();
  write(i, before);
  go(i);
}

function write(i, score) {
  scores[i] = score;
  saver.put(i, { i, score });
}

function tally() {
  const counts = [0, 0, 0, 0, 0, 0];
  for (const score of scores) counts[score]++;
  const most = Math.max(1, ...counts.slice(1));
  const unsaved = [...saver.waiting.values()].filter(({ score }) => score).length;
  progress(scores.length - counts[0] - unsaved, scores.length, "rated");
  [...$("#scores").children].forEach((button, i) => {
    button.classList.toggle("on", scores[at] === i + 1);
    button.querySelector("span").dataset.count = counts[i + 1];
    button.querySelector("i").style.transform = `scaleY(${counts[i + 1] / most})`;
  });
  $("#undo").disabled = !done.length;
}

const KEYS = {
  u: undo,
  backspace: undo,
  s: skip,
  " ": skip,
  arrowright: () => go(at + 1),
  arrowleft: () => go(at - 1),
  g: () => $("#jump").focus(),
  z: () => {
    if ($("#picture").classList.toggle("own")) $("#picture").src = pictureUrl(at, 4096);
  },
  t: toggleTheme,
  "?": toggleHelp,
};
for (let score = 0; score <= 5; score++) KEYS[score] = () => rate(score);

function press(event) {
  const key = event.key.toLowerCase();
  const control = event.ctrlKey || event.metaKey || event.altKey;
  if (control ? key !== "z" : !KEYS[key]) return;
  if (key === " " && event.target.matches("button")) return; // it presses the button
  event.preventDefault();
  if (event.repeat && !key.startsWith("arrow")) return; // a key held down rates once
  control ? undo() : KEYS[key](event);
}
keysOn($("main"), press, go);
$("#undo").addEventListener("click", undo);
$("#skip").addEventListener("click", skip);
start().catch(complain);
