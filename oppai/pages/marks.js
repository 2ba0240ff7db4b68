// What is drawn upon the picture: the mask and the hints, their tools and their files.

import { $, tell } from "./frame.js";
import { keep } from "./kept.js";
import { maskFile, pixelsOf } from "./mask.js";
import { compare, controls, list, outputs, regions } from "./panel.js";
import { LAYERS, outdate, page, saveFile, stem } from "./state.js";
import { t } from "./strings.js";

let keeping = 0;

// The layer that is drawn upon has another step.
export function edited() {
  const { current: item, stage } = page;
  const layer = LAYERS[page.task];
  if (layer === "mask") item.mask = stage.mask.data.slice();
  else item.hints = stage.hints.points;
  outdate(item, Object.keys(LAYERS).filter((task) => LAYERS[task] === layer));
  stale();
  regions();
  controls();
  // The browser keeps it once the hand rests.
  clearTimeout(keeping);
  keeping = setTimeout(() => keep(item), 250);
}

// What was predicted is of another mask, of other hints or settings.
export function stale() {
  page.stage.prediction = null;
  compare(false);
  list();
}

// Change the mask as one step.
export function step(action) {
  const { mask } = page.stage;
  mask.begin();
  action(mask);
  if (mask.commit()) edited();
}

export function asFound() {
  const { current: item } = page;
  step((mask) => mask.all((i) => (item.found[i] ? 255 : 0)));
  item.mask = null; // as found, also when it is found anew
  keep(item);
}

export function clear() {
  const { layer, hints } = page.stage;
  if (layer !== hints) return step((mask) => mask.all(() => 0));
  hints.begin();
  hints.clear();
  if (hints.commit()) edited();
}

export function undo(again = false) {
  const { layer } = page.stage;
  if (layer && (again ? layer.redo() : layer.undo())) edited();
}

// Mark a found region, or leave it out.
export function tick(number, on) {
  const { found } = page.current;
  step((mask) => mask.all((i, value) => (found[i] === number + 1 ? (on ? 255 : 0) : value)));
  $("#regions").children[number]?.querySelector("input").focus();
}

export async function loadMask(file) {
  try {
    const image = await pixelsOf(file);
    const { view, width: w, height: h } = page.current.told;
    const fits = [view, [w, h]].some((size) => image.width === size[0] && image.height === size[1]);
    if (!fits) return tell(t("maskSize", file.name), true);
    const canvas = new OffscreenCanvas(...view);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false;
    context.drawImage(await createImageBitmap(image), 0, 0, ...view);
    const { data } = context.getImageData(0, 0, ...view);
    step((mask) => mask.all((i) => (Math.max(data[4 * i], data[4 * i + 1], data[4 * i + 2]) > 127 ? 255 : 0)));
  } catch {
    tell(t("notOpened", file.name), true);
  }
}

export async function saveMask() {
  const { width, height, data } = page.stage.mask;
  saveFile(await maskFile(data, width, height), `${stem(page.current.name)}_mask.png`);
}

// A tool that the tab does not have is left alone.
export function choose(tool) {
  const button = $(`[data-tool=${tool}]`);
  if (button.hidden) return;
  page.stage.tool = tool;
  page.stage.corner = null;
  compare(false);
  controls();
}

// A number of pixels across the brush.
export function brush(size) {
  $("#size").value = Math.min(200, Math.max(1, size));
  page.stage.radius = Number($("#size").value) / 2;
  outputs();
  page.stage.draw();
}
