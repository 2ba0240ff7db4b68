"use strict";
const $ = (id) => document.getElementById(id);
const { pictures } = JSON.parse($("data").textContent);
const GAP = 10, CAPTION = 26;
const VIEWS = {
  ranked: "With a face", "no face": "Without a face", broken: "Unreadable", all: "All", picked: "Picked",
};
const KEPT = `facescore-picked-${location.pathname}`;
const ORDERS = {
  best: () => 0,
  worst: (a, b) => places.get(b) - places.get(a),
  name: (a, b) => a.file.localeCompare(b.file, undefined, { numeric: true }),
  faces: (a, b) => b.faces.length - a.faces.length,
  sure: (a, b) => sureness(b) - sureness(a),
};
const places = new Map(pictures.map((picture, i) => [picture, i]));
const sureness = ({ faces }) => Math.max(-1, ...faces.map((face) => face[4]));
const picked = remembered();
const scroll = $("scroll"), wall = $("wall");
let shown = [], cards = [], drawn = new Map(), group = null, at = -1, opener = null;

// Every text goes in as text: names of files are no markup.
function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

function frame(picture, width, height, source, labels) {
  const node = make("div", "frame"), image = make("img");
  node.style.width = `${width}px`;
  node.style.height = `${height}px`;
  image.alt = "";
  image.decoding = "async";
  image.src = source;
  node.append(image);
  picture.faces.forEach(([left, top, right, bottom, , score], i) => {
    const box = make("div", i ? "box" : "box best");
    box.style.left = `${left * 100}%`;
    box.style.top = `${top * 100}%`;
    box.style.width = `${(right - left) * 100}%`;
    box.style.height = `${(bottom - top) * 100}%`;
    if (labels) {
      box.append(make("b", "", score.toFixed(2)));
      if (top * height < 24) box.classList.add("under");
    }
    node.append(box);
    if (labels && picture.why) node.append(veil(...picture.why[i]));
  });
  return [node, image];
}

// What made a face's score: red raises it, blue lowers it.
function veil(source, left, top, right, bottom) {
  const image = make("img", "veil");
  image.src = source;
  image.alt = "Red raises the score, blue lowers it";
  image.tabIndex = 0;
  image.style.left = `${left * 100}%`;
  image.style.top = `${top * 100}%`;
  image.style.width = `${(right - left) * 100}%`;
  image.style.height = `${(bottom - top) * 100}%`;
  return image;
}

// What was picked here before: a page of a file may be refused the store.
function remembered() {
  try {
    const names = new Set(JSON.parse(localStorage.getItem(KEPT) || "[]"));
    return new Set(pictures.filter((p) => names.has(p.file)));
  } catch {
    return new Set();
  }
}

function pick(some, on) {
  for (const picture of some) on ? picked.add(picture) : picked.delete(picture);
  try {
    localStorage.setItem(KEPT, JSON.stringify([...picked].map((p) => p.file)));
  } catch { /* The page itself still holds them. */ }
  for (const node of wall.children) marked(node);
  if ($("pick")) $("pick").checked = picked.has(shown[at]);
  tally();
}

function marked(node) {
  const on = picked.has(shown[node.dataset.index]);
  node.classList.toggle("on", on);
  node.querySelector("input").checked = on;
}

function tally() {
  const n = picked.size;
  $("view").querySelector("[value=picked]").textContent = `Picked (${n})`;
  $("live").textContent = `${n} picked`;
  for (const id of ["none", "names", "table"]) $(id).disabled = !n;
}

const chosenOnes = () => pictures.filter((p) => picked.has(p));

// Names may hold bytes that are no UTF-8, as surrogates: they are written as they were.
function bytes(text) {
  const parts = [];
  for (const part of text.split(/([\udc80-\udcff])/)) {
    const code = part.length === 1 ? part.charCodeAt(0) : 0;
    parts.push(code >= 0xdc80 && code <= 0xdcff ? new Uint8Array([code - 0xdc00]) : part);
  }
  return parts;
}

function save(name, text) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob(bytes(text), { type: "application/octet-stream" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveTable() {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const rows = chosenOnes().map((p) => [p.rank ?? "", cell(p.file), p.score ?? ""].join(","));
  save("picked.csv", ["rank,file,score", ...rows, ""].join("\n"));
}

function card({ picture, index, x, y, width, height }) {
  const cell = make("div", "cell"), node = make("button", "card"), shot = make("div", "shot");
  const choice = make("input", "pick");
  choice.type = "checkbox";
  choice.setAttribute("aria-label", `Pick ${picture.file}`);
  cell.style.transform = `translate(${x}px, ${y}px)`;
  cell.style.width = `${width}px`;
  cell.style.height = `${height + CAPTION}px`;
  cell.dataset.index = index;
  node.title = picture.file;
  node.dataset.index = index;
  if (picture.thumbnail) {
    const scale = Math.min(width / picture.width, height / picture.height);
    shot.append(frame(picture, picture.width * scale, picture.height * scale, picture.thumbnail)[0]);
  } else {
    shot.append(make("div", "why", picture.error));
  }
  if (picture.score !== null) shot.append(make("span", "score", picture.score.toFixed(2)));
  if (picture.state === "no face") shot.append(make("span", "score none", "no face"));
  if (picture.alike > 1) shot.append(make("span", "alike", `${picture.alike} alike`));
  const name = make("div", "name");
  if (picture.rank) name.append(make("b", "", `#${picture.rank}`));
  name.append(picture.file);
  node.append(shot, name);
  cell.append(node, choice);
  marked(cell);
  return cell;
}

function select() {
  const view = $("view").value, least = Number($("least").value), part = $("search").value.toLowerCase();
  const most = Number($("most").value);
  const cut = least > Number($("least").min) || most < Number($("most").max);
  shown = pictures.filter((p) => group !== null ? p.group === group : (
    (view === "all" || (view === "picked" ? picked.has(p) : p.state === view))
    && (p.score === null ? !(cut && view === "all") : p.score >= least && p.score <= most)
    && !($("single").checked && p.duplicate)
    && p.file.toLowerCase().includes(part))).sort(ORDERS[$("sort").value]);
  const count = $("count");
  count.replaceChildren(make("b", "", shown.length.toLocaleString("en")), shown.length === 1 ? " picture" : " pictures");
  if (scored.length) count.append(`, from ${least.toFixed(2)}`);
  if (most < Number($("most").max)) count.append(` to ${most.toFixed(2)}`);
  for (const bar of $("bars").children) {
    const high = Number(bar.dataset.high);
    bar.classList.toggle("off", high <= least || high - (highest - lowest) / BINS >= most);
  }
  $("chosen").hidden = group === null;
  $("chosen").firstElementChild.textContent = `${shown.length} pictures that look alike`;
  $("notice").hidden = shown.length > 0;
  $("notice").textContent = "No picture is like that.";
  scroll.scrollTop = 0;
  layout();
}

// Rows of one height each, filled from side to side; only those in sight are drawn.
function layout() {
  const width = scroll.clientWidth - 32, goal = Number($("size").value);
  cards = [];
  let row = [], ratios = 0, y = 0;
  const close = (full) => {
    const room = width - GAP * (row.length - 1);
    const height = Math.round(full ? room / ratios : Math.min(goal, room / ratios));
    let x = 0;
    for (const [picture, index, ratio] of row) {
      cards.push({ picture, index, x, y, width: Math.floor(ratio * height), height });
      x += Math.floor(ratio * height) + GAP;
    }
    y += height + CAPTION + GAP;
    [row, ratios] = [[], 0];
  };
  shown.forEach((picture, index) => {
    const ratio = Math.min(2.4, Math.max(0.45, picture.width ? picture.width / picture.height : 1));
    row.push([picture, index, ratio]);
    ratios += ratio;
    if (ratios * goal + GAP * (row.length - 1) >= width) close(true);
  });
  if (row.length) close(false);
  wall.style.height = `${y}px`;
  wall.replaceChildren();
  drawn.clear();
  draw();
}

function draw() {
  const reach = scroll.clientHeight, low = scroll.scrollTop - reach, high = scroll.scrollTop + 2 * reach;
  let first = 0, last = cards.length;
  while (first < last) {  // The first card that ends below the upper rim.
    const middle = (first + last) >> 1;
    if (cards[middle].y + cards[middle].height < low) first = middle + 1; else last = middle;
  }
  const wanted = new Map();
  for (let i = first; i < cards.length && cards[i].y < high; i++) wanted.set(i, cards[i]);
  for (const [i, node] of drawn) if (!wanted.has(i)) { node.remove(); drawn.delete(i); }
  let before = null;
  for (const [i, place] of wanted) {
    if (!drawn.has(i)) {
      drawn.set(i, card(place));
      if (before) before.after(drawn.get(i)); else wall.prepend(drawn.get(i));
    }
    before = drawn.get(i);
  }
}

function open(index) {
  at = Math.min(Math.max(index, 0), shown.length - 1);
  if (at < 0) return;
  if (!$("viewer").open) { opener = at; $("viewer").showModal(); }
  enlarge();
}

function enlarge() {
  const picture = shown[at], large = $("large");
  large.replaceChildren();
  if (picture.thumbnail) {
    const scale = Math.min((large.clientWidth - 48) / picture.width, (large.clientHeight - 48) / picture.height, 3);
    const size = [picture.width * scale, picture.height * scale];
    const [node, image] = frame(picture, ...size, picture.link, true);
    image.style.background = `url("${picture.thumbnail}") center / 100% 100%`;
    // A format that browsers do not show, or a folder that was moved.
    image.onerror = () => {
      image.onerror = null;
      image.src = picture.thumbnail;
      about(picture, "The picture itself cannot be shown here; this is its thumbnail.");
    };
    large.append(node);
  } else {
    large.append(make("div", "why", picture.error));
  }
  about(picture);
  $("previous").disabled = at === 0;
  $("next").disabled = at === shown.length - 1;
}

function about(picture, note) {
  const head = make("h2", "", picture.score === null ? { "no face": "No face", broken: "Unreadable" }[picture.state] : picture.score.toFixed(2));
  if (picture.rank) head.append(make("small", "", `rank ${picture.rank}`));
  const file = make("p"), link = make("a", "", picture.file);
  link.href = picture.link;
  link.target = "_blank";
  link.rel = "noopener";
  file.append(link);
  if (picture.width) file.append(make("br"), make("span", "soft", `${picture.width} × ${picture.height} pixels`));
  const choice = make("label", "check"), tick = make("input");
  tick.type = "checkbox";
  tick.id = "pick";
  tick.checked = picked.has(picture);
  tick.addEventListener("input", () => pick([picture], tick.checked));
  choice.append(tick, "picked (P)");
  const parts = [head, file, choice];
  if (note) parts.push(make("p", "soft", note));
  if (picture.faces.length) {
    const table = make("table"), top = make("tr");
    top.append(make("th", "", "Face"), make("th", "", "score"), make("th", "", "confidence"));
    table.append(top);
    picture.faces.forEach(([, , , , confidence, score], i) => {
      const row = make("tr");
      row.append(make("td", "", i + 1), make("td", "", score.toFixed(2)), make("td", "", confidence.toFixed(2)));
      table.append(row);
    });
    parts.push(table);
  }
  if (picture.why) {
    const all = make("label", "check"), box = make("input");
    box.type = "checkbox";
    box.id = "why";
    box.checked = document.body.classList.contains("veils");
    box.addEventListener("input", () => document.body.classList.toggle("veils", box.checked));
    all.append(box, "what made the scores (E)");
    parts.push(all, make("p", "soft", "Red raises a score, blue lowers it. It also shows where the mouse is."));
  }
  if (picture.alike > 1) {
    const others = make("div", "others"), all = make("button", "", "Show them in the gallery");
    parts.push(make("h3", "", `${picture.alike} look alike`), others, make("p"));
    pictures.filter((p) => p.group === picture.group && p !== picture).slice(0, 12).forEach((p) => {
      const button = make("button"), image = make("img");
      image.src = p.thumbnail;
      image.alt = p.file;
      button.title = p.file;
      button.onclick = () => { gather(picture.group); open(shown.indexOf(p)); };
      button.append(image);
      others.append(button);
    });
    all.onclick = () => { $("viewer").close(); gather(picture.group); };
    parts.at(-1).append(all);
  }
  $("about").replaceChildren(...parts);
}

function gather(which) { group = which; select(); }

const scored = pictures.map((p) => p.score).filter((s) => s !== null);
const BINS = 48, lowest = scored.length ? Math.floor(Math.min(...scored) * 10) / 10 : 0;
const highest = Math.max(lowest + 0.1, scored.length ? Math.ceil(Math.max(...scored) * 10) / 10 : 1);
const heights = new Array(BINS).fill(0);
for (const s of scored) heights[Math.min(BINS - 1, Math.floor((s - lowest) / (highest - lowest) * BINS))]++;
heights.forEach((n, i) => {
  const bar = make("i");
  bar.style.height = `${n && Math.max(4, 100 * n / Math.max(...heights))}%`;
  bar.dataset.high = lowest + (highest - lowest) * (i + 1) / BINS;
  $("bars").append(bar);
});
Object.assign($("least"), { min: lowest, max: highest, value: lowest });
Object.assign($("most"), { min: lowest, max: highest, value: highest });
for (const [value, text] of Object.entries(VIEWS)) {
  const n = value === "all" ? pictures.length : pictures.filter((p) => p.state === value).length;
  $("view").append(new Option(`${text} (${n})`, value, false, false));
}
$("view").value = scored.length ? "ranked" : "all";

// Once a frame, however often a slider moves.
function soon(work) {
  let asked = 0;
  return () => { cancelAnimationFrame(asked); asked = requestAnimationFrame(work); };
}
const selectSoon = soon(select);
// Neither threshold passes the other.
$("least").addEventListener("input", () => {
  if (Number($("most").value) < Number($("least").value)) $("most").value = $("least").value;
});
$("most").addEventListener("input", () => {
  if (Number($("most").value) < Number($("least").value)) $("least").value = $("most").value;
});
for (const id of ["least", "most", "view", "sort", "single", "search"]) {
  $(id).addEventListener("input", () => { group = null; selectSoon(); });
}
$("size").addEventListener("input", soon(layout));
$("boxes").addEventListener("input", () => document.body.classList.toggle("no-boxes", !$("boxes").checked));
$("back").onclick = () => gather(null);
$("all").onclick = () => pick(shown, true);
$("none").onclick = () => pick([...picked], false);
$("names").onclick = () => save("picked.txt", chosenOnes().map((p) => `${p.file}\n`).join(""));
$("table").onclick = saveTable;
scroll.addEventListener("scroll", draw, { passive: true });
addEventListener("resize", () => { layout(); if ($("viewer").open) enlarge(); });
wall.addEventListener("click", (event) => {
  const node = event.target.closest(".cell");
  if (!node) return;
  const picture = shown[node.dataset.index];
  if (event.target.matches(".pick")) return pick([picture], event.target.checked);
  if (event.target.closest(".alike")) gather(picture.group); else open(Number(node.dataset.index));
});
$("previous").onclick = () => open(at - 1);
$("next").onclick = () => open(at + 1);
$("close").onclick = () => $("viewer").close();
$("large").onclick = (event) => { if (event.target === $("large")) $("viewer").close(); };
$("viewer").addEventListener("close", () => {
  const place = cards[at];
  if (place && at !== opener) scroll.scrollTop = Math.max(0, place.y - scroll.clientHeight / 3);
  draw();
  drawn.get(at)?.firstElementChild.focus();
});
$("theme").onclick = () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
};
addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "t") $("theme").click();
  else if (event.key === "b") $("boxes").click();
  else if (event.key === "p" && $("viewer").open) $("pick").click();
  else if (event.key === "p" && event.target.closest(".cell")) event.target.closest(".cell").lastElementChild.click();
  else if (event.key === "e" && $("viewer").open && $("why")) $("why").click();
  else if ($("viewer").open && event.key === "ArrowLeft") open(at - 1);
  else if ($("viewer").open && event.key === "ArrowRight") open(at + 1);
  else return;
  event.preventDefault();
});
tally();
select();
