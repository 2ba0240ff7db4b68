// The page: its pictures, the one that is shown, and what its buttons and keys do.

import { Prediction } from "./compose.js";
import { Engine } from "./engine.js";
import { $, announce, recallTheme, tell, toggleHelp, toggleTheme } from "./frame.js";
import { forget, keep, newKey, openKept } from "./kept.js";
import { Mask, maskFile, pixelsOf } from "./mask.js";
import { restoreAll, zipResults } from "./queue.js";
import { nameOf, Stage } from "./stage.js";
import { chooseLanguage, currentLanguage, t, translate } from "./strings.js";

const THEME = "oppai-theme";
const PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?|avif|jp2|jfif|pp?m|pgm|pbm|tga|ico|heic|heif|psd)$/i;
const DEFAULTS = { restorer: "default", blend: 100, feather: 8, fill: false };

const items = [];
let current = null; // the item that is shown
let offer = { names: [], folder: null, most: 0, translations: [] };
let running = null; // the AbortController of what runs for the shown picture
let keeping = 0;

const engine = new Engine(
  (how) => {
    const text = { gone: t("lost"), token: t("lostToken") }[how] ?? "";
    if ($("#lost").textContent !== text) $("#lost").textContent = text;
    $("#lost").hidden = !text;
  },
  ({ stage, done, total }) => {
    if (total > 1 && stage === "restoring tiles") status(`${t("restoring")} ${t("tiles", done, total)}`);
  },
);
const stage = new Stage($("#stage canvas"), { edited, splitMoved: (part) => ($("#split").value = 100 * part) });

// Pictures

function add(name, blob, index = null) {
  const order = 1 + Math.max(0, ...items.map((item) => item.order));
  const item = { key: newKey(order), order, name, blob, index, mask: null, settings: { ...DEFAULTS } };
  items.push(item);
  if (blob) keep(item);
  return item;
}

async function addFiles(files) {
  await started; // what was kept comes first
  const chosen = [...files].filter((file) => file.type.startsWith("image/") || PICTURE.test(file.name));
  for (const file of files) if (!chosen.includes(file) && files.length === 1) tell(t("notOpened", file.name), true);
  const added = [];
  for (const file of chosen) {
    if (file.size > offer.most) tell(t("tooLarge", file.name, Math.round(offer.most / 1e6)), true);
    else added.push(add(file.name, file));
  }
  list();
  if (added.length) show(added[0]);
}

// All files of what was dropped, folders too.
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (PICTURE.test(file.name)) files.push(file);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const more = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!more.length) return;
      for (const one of more) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return files.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}

const bytesOf = async (item) => {
  item.blob ??= await engine.bytes(item.index);
  return item.blob;
};

// Decode, show and search a picture; what was painted on it comes back.
async function show(item) {
  running?.abort();
  const control = (running = new AbortController());
  const { signal } = control;
  current = item;
  list();
  stage.close();
  compare(false);
  controls();
  notes("");
  $("#regions").replaceChildren();
  $("#caption").textContent = item.name;
  $("#notice").hidden = true;
  status(t("opening"));
  try {
    await bytesOf(item);
    const told = await engine.open(item, signal);
    const pixels = await pixelsOf(await engine.view(item, signal));
    if (signal.aborted) return;
    Object.assign(item, { told, failed: "" });
    thumbnail(item, pixels);
    const mask = new Mask(pixels.width, pixels.height, () => {});
    if (item.mask?.length === mask.data.length) mask.data.set(item.mask);
    stage.open(pixels, mask);
    controls();
    caption();
    status(t("searching"));
    const painted = Boolean(item.mask); // before it is searched for the first time
    await search(item, signal);
    if (signal.aborted) return;
    if (!item.mask) {
      asFound();
      mask.past = []; // what was found is no step
    } else if (!painted) step(() => mask.all((i, value) => (item.found[i] ? 255 : value)));
    controls();
    regions();
    if (item.ready) await restore();
  } catch (error) {
    if (!signal.aborted) failed(item, error);
  }
}

// Find what is censored; `found` is then a byte for each pixel of the view.
async function search(item, signal) {
  if (item.found) return;
  const told = await engine.find(item, signal);
  const labels = (await pixelsOf(told.labels)).data;
  item.found = new Uint8Array(labels.length / 4);
  for (let i = 0; i < item.found.length; i++) item.found[i] = labels[4 * i];
  Object.assign(item, { regions: told.regions, restoredBefore: told.restored });
}

function failed(item, error) {
  item.failed = error.message;
  if (item === current) {
    stage.close();
    status("");
    notice(t("notOpened", item.name), error.message);
    controls();
  }
  list();
}

// The mask of an item as the server takes it.
const maskOf = (item) => {
  const [width, height] = item.told.view;
  const data = item.mask ?? item.found.map((number) => (number ? 255 : 0));
  return data.includes(255) || takesAll(item) ? maskFile(data, width, height) : null;
};

// Whether the chosen network turns the whole picture into another one.
const takesAll = ({ settings }) => ["colorize", "clean"].includes(settings.restorer);

const texts = ({ settings }) => ({
  restorer: settings.restorer,
  blend: settings.blend / 100,
  feather: settings.feather,
  fill: settings.fill ? 1 : 0,
  format: $("#format").value,
});

// The mask

function edited() {
  current.mask = stage.mask.data.slice();
  current.ready = false;
  stale();
  regions();
  controls();
  // The browser keeps it once the hand rests.
  const item = current;
  clearTimeout(keeping);
  keeping = setTimeout(() => keep(item), 250);
}

// The mask was changed: what was predicted is of another one.
function stale() {
  delete current.result;
  stage.prediction = null;
  compare(false);
  list();
}

function step(action) {
  stage.mask.begin();
  action(stage.mask);
  if (stage.mask.commit()) edited();
}

function asFound() {
  const { found } = current;
  stage.mask.begin();
  stage.mask.all((i) => (found[i] ? 255 : 0));
  if (stage.mask.commit()) edited();
  current.mask = null; // as found, also when it is found anew
  keep(current);
}

function undo(again = false) {
  if (stage.mask && (again ? stage.mask.redo() : stage.mask.undo())) edited();
}

async function loadMask(file) {
  try {
    const image = await pixelsOf(file);
    const [width, height] = current.told.view;
    const full = [current.told.width, current.told.height];
    const fits = [[width, height], full].some(([w, h]) => image.width === w && image.height === h);
    if (!fits) return tell(t("maskSize", file.name), true);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false;
    context.drawImage(await createImageBitmap(image), 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    step((mask) => mask.all((i) => (Math.max(data[4 * i], data[4 * i + 1], data[4 * i + 2]) > 127 ? 255 : 0)));
  } catch {
    tell(t("notOpened", file.name), true);
  }
}

async function saveMask() {
  const { width, height, data } = stage.mask;
  saveFile(await maskFile(data, width, height), `${stem(current.name)}_mask.png`);
}

// The result

async function restore() {
  const item = current;
  if (!stage.mask || !item.found) return;
  if (stage.mask.isEmpty && !takesAll(item)) return status(t("nothingMarked"));
  running?.abort();
  const { signal } = (running = new AbortController());
  controls();
  status(t("restoring"));
  notes("");
  try {
    const told = await engine.predict(item, await maskOf(item), texts(item), signal);
    if (signal.aborted) return;
    if (told.nothing) {
      status("");
      return notes(t("nothingHidden"));
    }
    stage.prediction = new Prediction(await pixelsOf(told.stack), stage.pixels, told.box);
    if (signal.aborted) return;
    item.ready = true;
    item.state = "restored";
    const found = !stage.prediction.fades && !offer.translations.includes(item.settings.restorer);
    notes([told.notes.length ? t("partHidden") : "", found ? t("featherFound") : ""].join(" ").trim());
    compose();
    compare(true);
    regions();
  } catch (error) {
    if (!signal.aborted) notes(error.message);
    regions();
  } finally {
    if (running?.signal === signal) running = null;
    controls();
    list();
  }
}

function compose() {
  const { blend, feather } = current.settings;
  stage.prediction?.compose(blend / 100, feather);
  stage.draw();
}

function compare(on) {
  stage.comparing = on && Boolean(stage.prediction);
  $("#compare").hidden = !stage.comparing;
  stage.draw();
}

async function download(saved = false) {
  const item = current;
  if (!stage.mask || (stage.mask.isEmpty && !takesAll(item))) return status(t("nothingMarked"));
  try {
    const more = saved ? { save: item.index } : {};
    const told = await engine.result(item, await maskOf(item), { ...texts(item), ...more });
    if (told.path) tell(t("saved", told.path));
    else saveFile(told.blob, told.name);
  } catch (error) {
    tell(error.message, true);
  }
}

function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const stem = (name) => name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");

// What is shown beside the picture

function status(text) {
  $("#state").textContent = text;
}

function notes(text) {
  $("#notes").textContent = text;
}

function notice(title, text) {
  $("#notice strong").textContent = title;
  $("#notice span").textContent = text;
  $("#notice").hidden = false;
  announce(`${title} ${text}`);
}

function caption() {
  if (!current?.told) return;
  const { width, height, format, frames } = current.told;
  const more = frames > 1 ? ` · ${t("animation", frames)}` : "";
  $("#caption").textContent = `${current.name} · ${width} × ${height} · ${format}${more}`;
}

// The found regions, each with a tick whether it is marked.
function regions() {
  const item = current;
  if (!item?.found) return;
  stage.regions = item.regions.map((region) => ({ ...region, label: nameOf(region) }));
  const rows = stage.regions.map((region, number) => {
    const row = document.createElement("li");
    const [tick, button] = [document.createElement("input"), document.createElement("button")];
    tick.type = "checkbox";
    tick.checked = marks(number + 1);
    tick.setAttribute("aria-label", t("include", region.label));
    tick.addEventListener("change", () => {
      const on = tick.checked;
      step((mask) => mask.all((i, value) => (item.found[i] === number + 1 ? (on ? 255 : 0) : value)));
      $("#regions").children[number]?.querySelector("input").focus();
    });
    const sure = region.confidence === null ? "" : ` · ${Math.round(100 * region.confidence)} %`;
    button.textContent = region.label + sure;
    button.addEventListener("click", () => {
      stage.view.show(region.box, Math.min(...stage.view.area) / 5, 8);
      stage.draw();
    });
    row.append(tick, button);
    return row;
  });
  $("#regions").replaceChildren(...rows);
  const before = item.restoredBefore ? t("restoredBefore", item.restoredBefore) : "";
  status(before || (rows.length ? "" : t("nothingFound")));
  stage.draw();
}

function marks(number) {
  const { found } = current;
  const { data } = stage.mask;
  for (let i = 0; i < found.length; i++) if (found[i] === number && data[i]) return true;
  return false;
}

function thumbnail(item, pixels) {
  const scale = Math.min(1, 160 / Math.max(pixels.width, pixels.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(pixels.width * scale));
  canvas.height = Math.max(1, Math.round(pixels.height * scale));
  createImageBitmap(pixels).then((bitmap) => {
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  });
  item.thumbnail = canvas;
}

const SIGNS = { restored: "✓", clean: "–", failed: "!" };

function list() {
  $("#strip").hidden = items.length < 2;
  const rows = items.map((item) => {
    const [row, button, name, sign] = ["li", "button", "span", "i"].map((tag) => document.createElement(tag));
    const state = item.failed ? "failed" : (item.state ?? "");
    button.dataset.state = state;
    button.title = item.failed || item.name;
    if (item === current) button.setAttribute("aria-current", "true");
    name.textContent = item.name.replace(/^.*\//, "");
    sign.textContent = SIGNS[state] ?? "";
    const picture = item.thumbnail ?? document.createElement("canvas");
    button.append(picture, name, sign);
    button.addEventListener("click", () => show(item));
    row.append(button);
    return row;
  });
  $("#pictures").replaceChildren(...rows);
  $("#pictures [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  controls();
}

// Which buttons can be used, and what the sliders say.
function controls() {
  const ready = Boolean(stage.mask && current?.found);
  const settings = current?.settings ?? DEFAULTS;
  for (const id of ["as-found", "clear", "save-mask", "load-mask", "restore", "download", "save"]) {
    $(`#${id}`).disabled = !ready;
  }
  $("#undo").disabled = !stage.mask?.past.length;
  $("#redo").disabled = !stage.mask?.future.length;
  $("#remove").disabled = !current;
  for (const id of ["remove-all", "restore-all", "zip"]) $(`#${id}`).disabled = !items.length;
  $("#save").hidden = current?.index == null;
  for (const name of ["restorer", "blend", "feather"]) $(`#${name}`).value = settings[name];
  $("#fill").checked = settings.fill;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === stage.tool));
  }
  $("#size-row").hidden = !["brush", "eraser"].includes(stage.tool);
  $("#tolerance-row").hidden = $("#everywhere-row").hidden = stage.tool !== "colour";
  outputs();
}

function outputs() {
  for (const [id, unit] of [["size", "px"], ["tolerance", ""], ["blend", "%"], ["feather", "px"]]) {
    $(`#${id}`).parentElement.querySelector("output").textContent = `${$(`#${id}`).value} ${unit}`.trim();
  }
}

function choose(tool) {
  stage.tool = tool;
  stage.corner = null;
  compare(false);
  controls();
}

// A number of pixels across the brush.
function brush(size) {
  $("#size").value = Math.min(200, Math.max(1, size));
  stage.radius = Number($("#size").value) / 2;
  outputs();
  stage.draw();
}

function setting(name, value, again) {
  if (!current) return;
  current.settings[name] = value;
  delete current.result;
  keep(current);
  if (again) {
    current.ready = false;
    if (stage.prediction) restore();
  } else {
    compose();
    if (stage.prediction) compare(true);
  }
  outputs();
}

// Many pictures

const queue = {
  items,
  engine,
  bytesOf,
  search,
  maskOf,
  texts,
  changed: list,
  progress(done, all) {
    $("#queue").hidden = all === 0;
    $("#queue i").style.transform = `scaleX(${all ? done / all : 0})`;
    $("#queue span").textContent = t("ofPictures", done, all);
  },
};

async function all() {
  if (queue.control) return;
  queue.control = new AbortController();
  const counts = await restoreAll(queue, queue.control.signal);
  const cancelled = queue.control.signal.aborted;
  queue.control = null;
  queue.progress(0, 0);
  tell((cancelled ? `${t("cancelled")} ` : "") + t("allDone", counts.restored, counts.clean, counts.failed));
  list();
}

async function zip() {
  const results = items.filter((item) => item.result).map((item) => item.result);
  if (!results.length) return tell(t("noResults"), true);
  saveFile(await zipResults(results), "restored.zip");
}

async function remove(chosen) {
  for (const item of chosen) {
    items.splice(items.indexOf(item), 1);
    await forget(item);
  }
  if (chosen.includes(current)) {
    running?.abort();
    current = null;
    stage.close();
    compare(false);
    $("#regions").replaceChildren();
    $("#caption").textContent = "";
    status("");
    notes("");
    if (items.length) show(items[0]);
    else welcome();
  }
  list();
}

function move(by) {
  const next = items[items.indexOf(current) + by];
  if (next) show(next);
}

function welcome() {
  notice(t("dropTitle"), t("dropText"));
}

// Buttons, keys and drops

const click = (id, action) => $(`#${id}`).addEventListener("click", action);
click("open", () => $("#files").click());
click("open-folder", () => $("#tree").click());
for (const id of ["files", "tree"]) {
  $(`#${id}`).addEventListener("change", (event) => {
    addFiles([...event.target.files]);
    event.target.value = "";
  });
}
click("undo", () => undo());
click("redo", () => undo(true));
click("as-found", asFound);
click("clear", () => step((mask) => mask.all(() => 0)));
click("save-mask", saveMask);
click("load-mask", () => $("#mask-file").click());
$("#mask-file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) loadMask(file);
});
click("restore", restore);
click("download", () => download());
click("save", () => download(true));
click("restore-all", all);
click("zip", zip);
click("remove", () => current && remove([current]));
click("remove-all", () => items.length && confirm(t("removeSure")) && remove([...items]));
click("cancel", () => queue.control?.abort());
click("help", toggleHelp);
click("close", toggleHelp);
click("theme", () => toggleTheme(THEME));
$("#tools").addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool]");
  if (button) choose(button.dataset.tool);
});
const slide = (id, action) => $(`#${id}`).addEventListener("input", (event) => action(Number(event.target.value)));
slide("size", brush);
slide("tolerance", (value) => {
  stage.tolerance = value;
  outputs();
});
slide("blend", (value) => setting("blend", value));
slide("feather", (value) => setting("feather", value));
slide("split", (value) => stage.moveSplit(value / 100));
$("#everywhere").addEventListener("change", (event) => (stage.everywhere = event.target.checked));
$("#fill").addEventListener("change", (event) => setting("fill", event.target.checked, true));
$("#restorer").addEventListener("change", (event) => setting("restorer", event.target.value, true));
$("#language").addEventListener("change", (event) => {
  chooseLanguage(event.target.value);
  if (!items.length) welcome();
  caption();
  regions();
  controls();
});

const KEYS = {
  b: () => choose("brush"), e: () => choose("eraser"), r: () => choose("box"),
  c: () => choose("colour"), h: () => choose("hand"),
  "[": () => brush(Number($("#size").value) - 4), "]": () => brush(Number($("#size").value) + 4),
  enter: restore, a: all, s: () => current && download(), z: () => undo(), y: () => undo(true),
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8), f: () => stage.zoom(0),
  m: () => { stage.showMask = !stage.showMask; stage.draw(); },
  x: () => compare(!stage.comparing),
  pageup: () => move(-1), pagedown: () => move(1),
  t: () => toggleTheme(THEME), "?": toggleHelp,
};

addEventListener("keydown", (event) => {
  const target = event.target;
  if ($("dialog").open || target.matches("select, input:not([type=range], [type=checkbox])")) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    return undo(key === "y" || event.shiftKey);
  }
  if (event.altKey || (key === "enter" && target.matches("button, input"))) return;
  const action = KEYS[key];
  if (!action) return;
  event.preventDefault();
  if (key === "z" && event.shiftKey) undo(true);
  else action();
});

for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    $("#stage").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
addEventListener("drop", async (event) => addFiles(await droppedFiles(event.dataTransfer)));
addEventListener("paste", (event) => addFiles([...event.clipboardData.files]));

async function start() {
  recallTheme(THEME);
  $("#language").value = currentLanguage();
  translate();
  welcome();
  brush(24);
  controls();
  offer = await engine.start();
  $("#folder").textContent = offer.folder ?? "";
  for (const name of offer.translations) {
    const option = document.createElement("option");
    [option.value, option.dataset.t] = [name, name];
    $("#restorer").append(option);
  }
  translate();
  for (const kept of await openKept(() => tell(t("storeFull"), true))) {
    items.push({ ...kept, settings: { ...DEFAULTS, ...kept.settings } });
  }
  const listed = new Set(items.filter((item) => item.index !== null).map((item) => item.name));
  offer.names.forEach((name, index) => {
    if (!listed.has(name)) add(name, null, index);
  });
  list();
}

const started = start();
started.then(() => items.length && show(items[0]));
