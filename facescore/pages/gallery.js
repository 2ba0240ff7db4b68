"use strict";
const $ = (id) => document.getElementById(id);
const { pictures } = JSON.parse($("data").textContent);
const GAP = 10, CAPTION = 26;
const VIEWS = { ranked: "With a face", "no face": "Without a face", broken: "Unreadable", all: "All" };
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

function card({ picture, index, x, y, width, height }) {
  const node = make("button", "card"), shot = make("div", "shot");
  node.style.transform = `translate(${x}px, ${y}px)`;
  node.style.width = `${width}px`;
  node.style.height = `${height + CAPTION}px`;
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
  return node;
}

function select() {
  const view = $("view").value, least = Number($("least").value), part = $("search").value.toLowerCase();
  const cut = least > Number($("least").min);
  shown = pictures.filter((p) => group !== null ? p.group === group : (
    (view === "all" || p.state === view)
    && (p.score === null ? !(cut && view === "all") : p.score >= least)
    && !($("single").checked && p.duplicate)
    && p.file.toLowerCase().includes(part)));
  const count = $("count");
  count.replaceChildren(make("b", "", shown.length.toLocaleString("en")), shown.length === 1 ? " picture" : " pictures");
  if (scored.length) count.append(`, from ${least.toFixed(2)}`);
  for (const bar of $("bars").children) bar.classList.toggle("off", Number(bar.dataset.high) <= least);
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
  const parts = [head, file];
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
const BINS = 48, least = scored.length ? Math.floor(Math.min(...scored) * 10) / 10 : 0;
const most = Math.max(least + 0.1, scored.length ? Math.ceil(Math.max(...scored) * 10) / 10 : 1);
const heights = new Array(BINS).fill(0);
for (const s of scored) heights[Math.min(BINS - 1, Math.floor((s - least) / (most - least) * BINS))]++;
heights.forEach((n, i) => {
  const bar = make("i");
  bar.style.height = `${n && Math.max(4, 100 * n / Math.max(...heights))}%`;
  bar.dataset.high = least + (most - least) * (i + 1) / BINS;
  $("bars").append(bar);
});
Object.assign($("least"), { min: least, max: most, value: least });
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
for (const id of ["least", "view", "single", "search"]) {
  $(id).addEventListener("input", () => { group = null; selectSoon(); });
}
$("size").addEventListener("input", soon(layout));
$("boxes").addEventListener("input", () => document.body.classList.toggle("no-boxes", !$("boxes").checked));
$("back").onclick = () => gather(null);
scroll.addEventListener("scroll", draw, { passive: true });
addEventListener("resize", () => { layout(); if ($("viewer").open) enlarge(); });
wall.addEventListener("click", (event) => {
  const node = event.target.closest(".card");
  if (!node) return;
  const picture = shown[node.dataset.index];
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
  drawn.get(at)?.focus();
});
$("theme").onclick = () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
};
addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "t") $("theme").click();
  else if (event.key === "b") $("boxes").click();
  else if (event.key === "e" && $("viewer").open && $("why")) $("why").click();
  else if ($("viewer").open && event.key === "ArrowLeft") open(at - 1);
  else if ($("viewer").open && event.key === "ArrowRight") open(at + 1);
  else return;
  event.preventDefault();
});
select();
