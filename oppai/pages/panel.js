// What stands beside the picture: its regions, messages, the strip, and which buttons
// can be used.

import { $, announce } from "./frame.js";
import { nameOf } from "./stage.js";
import { DEFAULTS, doneOf, LAYERS, page } from "./state.js";
import { t } from "./strings.js";

export function status(text) {
  $("#state").textContent = text;
}

export function notes(text) {
  $("#notes").textContent = text;
}

export function notice(title, text) {
  $("#notice strong").textContent = title;
  $("#notice span").textContent = text;
  $("#notice").hidden = false;
  announce(`${title} ${text}`);
}

export function welcome() {
  notice(t("dropTitle"), t("dropText"));
}

export function caption() {
  if (!page.current?.told) return;
  const { width, height, format, frames } = page.current.told;
  const all = page.task === "restore" ? "animation" : "animationFirst";
  const more = frames > 1 ? ` · ${t(all, frames)}` : "";
  $("#caption").textContent = `${page.current.name} · ${width} × ${height} · ${format}${more}`;
}

// The found regions, each with a tick whether it is marked.
export function regions() {
  const item = page.current;
  const { stage } = page;
  if (!item?.found || LAYERS[page.task] !== "mask") return;
  stage.regions = item.regions.map((region) => ({ ...region, label: nameOf(region) }));
  const rows = stage.regions.map((region, number) => {
    const row = document.createElement("li");
    const [tick, button] = [document.createElement("input"), document.createElement("button")];
    tick.type = "checkbox";
    tick.checked = marks(number + 1);
    tick.setAttribute("aria-label", t("include", region.label));
    const sure = region.confidence === null ? "" : ` · ${Math.round(100 * region.confidence)} %`;
    button.textContent = region.label + sure;
    row.append(tick, button);
    return row;
  });
  $("#regions").replaceChildren(...rows);
  const before = item.restoredBefore ? t("restoredBefore", item.restoredBefore) : "";
  status(before || (rows.length ? "" : t("nothingFound")));
  stage.draw();
}

function marks(number) {
  const { found } = page.current;
  const { data } = page.stage.mask;
  for (let i = 0; i < found.length; i++) if (found[i] === number && data[i]) return true;
  return false;
}

const SIGNS = { restored: "✓", clean: "–", failed: "!" };

export function list() {
  $("#strip").hidden = page.items.length < 2;
  const rows = page.items.map((item) => {
    const [row, button, name, sign] = ["li", "button", "span", "i"].map((tag) => document.createElement(tag));
    const state = item.failed ? "failed" : (doneOf(item).state ?? "");
    button.dataset.state = state;
    button.title = item.failed || item.name;
    if (item === page.current) button.setAttribute("aria-current", "true");
    name.textContent = item.name.replace(/^.*\//, "");
    sign.textContent = SIGNS[state] ?? "";
    button.append((item.thumbnail ??= blank(item)), name, sign);
    row.append(button);
    return row;
  });
  $("#pictures").replaceChildren(...rows);
  $("#pictures [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  controls();
}

// A picture in small that was not opened yet is drawn once it is scrolled to, one after
// another. What the browser cannot decode stays blank until the server has.
const unseen = new Map(); // canvas -> item
let drawing = Promise.resolve();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    drawing = drawing.then(() => sketch(target)).catch(() => {});
  }
});

function blank(item) {
  const canvas = document.createElement("canvas");
  unseen.set(canvas, item);
  seen.observe(canvas);
  return canvas;
}

async function sketch(canvas) {
  const item = unseen.get(canvas);
  unseen.delete(canvas);
  if (item.thumbnail !== canvas) return; // it was opened meanwhile
  const bytes = item.blob ?? (await page.engine.bytes(item.index));
  thumbnail(await createImageBitmap(bytes), 160, canvas);
}

// A picture in small, within a side in pixels.
export function thumbnail(pixels, side = 160, canvas = document.createElement("canvas")) {
  const scale = Math.min(1, side / Math.max(pixels.width, pixels.height));
  canvas.width = Math.max(1, Math.round(pixels.width * scale));
  canvas.height = Math.max(1, Math.round(pixels.height * scale));
  createImageBitmap(pixels).then((bitmap) => {
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  });
  return canvas;
}

// The parts that the tab has, and the words on its button.
export function showTab() {
  const { task } = page;
  for (const part of document.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(task);
  }
  const words = {
    about: `${task}About`,
    restore: `${task}Do`,
    "restore-all": task === "restore" ? "restoreAll" : "doAll",
    layer: task === "colorize" ? "hints" : "mask",
  };
  for (const [id, key] of Object.entries(words)) $(`#${id}`).dataset.t = key;
}

// Which buttons can be used, and what the sliders say.
export function controls() {
  const { stage, current, items } = page;
  const searched = LAYERS[page.task] !== "mask" || current?.found;
  const ready = Boolean(stage.base && searched);
  const settings = current?.settings ?? DEFAULTS;
  for (const id of ["as-found", "clear", "save-mask", "load-mask", "restore", "download", "save"]) {
    $(`#${id}`).disabled = !ready;
  }
  $("#undo").disabled = !stage.layer?.past.length;
  $("#redo").disabled = !stage.layer?.future.length;
  $("#remove").disabled = !current;
  for (const id of ["remove-all", "restore-all", "zip"]) $(`#${id}`).disabled = !items.length;
  $("#save").hidden = current?.index == null;
  for (const name of ["restorer", "blend", "feather", "strength"]) $(`#${name}`).value = settings[name];
  $("#fill").checked = settings.fill;
  $("#keep-colours").checked = settings.keepColours;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === stage.tool));
  }
  $("#size-row").hidden = !["brush", "eraser"].includes(stage.tool);
  $("#tolerance-row").hidden = $("#everywhere-row").hidden = stage.tool !== "colour";
  outputs();
}

const UNITS = [["size", "px"], ["tolerance", ""], ["blend", "%"], ["feather", "px"], ["strength", "%"]];

export function outputs() {
  for (const [id, unit] of UNITS) {
    $(`#${id}`).parentElement.querySelector("output").textContent = `${$(`#${id}`).value} ${unit}`.trim();
  }
}

export function compare(on) {
  const { stage } = page;
  stage.comparing = on && Boolean(stage.prediction);
  $("#compare").hidden = !stage.comparing;
  stage.draw();
}
