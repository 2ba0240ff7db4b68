// One picture: it is opened, searched, restored or translated, and written.

import { Prediction } from "./compose.js";
import { $, tell } from "./frame.js";
import { Hints } from "./hints.js";
import { keep } from "./kept.js";
import { asFound, step } from "./marks.js";
import { Mask, maskFile, pixelsOf } from "./mask.js";
import { caption, compare, controls, list, notes, notice, outputs, regions, status, thumbnail } from "./panel.js";
import { bytesOf, DEFAULTS, doneOf, LAYERS, outdate, page, saveFile } from "./state.js";
import { t } from "./strings.js";

// What runs for the shown picture ends, and something else begins.
function begin() {
  page.running?.abort();
  page.running = new AbortController();
  return page.running.signal;
}

// Decode, show and search a picture; what was painted on it comes back.
export async function show(item) {
  const signal = begin();
  const { stage, engine } = page;
  page.current = item;
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
    Object.assign(item, { told, failed: "", thumbnail: thumbnail(pixels) });
    const mask = new Mask(pixels.width, pixels.height, () => {});
    if (item.mask?.length === mask.data.length) mask.data.set(item.mask);
    const hints = new Hints(pixels.width, pixels.height, item.hints ?? [], () => stage.draw());
    hints.colour = $("#hint-colour").value;
    stage.open(pixels, mask, hints);
    list();
    caption();
    await prepare(item, signal);
  } catch (error) {
    if (!signal.aborted) failed(item, error);
  }
}

// What the tab needs of an open picture; what it had made before is shown again.
async function prepare(item, signal) {
  const { stage } = page;
  stage.drawOn(LAYERS[page.task]);
  controls();
  status("");
  if (LAYERS[page.task] === "mask") {
    if (!item.found) await searchFirst(item, signal);
    else if (!item.mask && !stage.mask.past.length) stage.mask.all((i) => (item.found[i] ? 255 : 0));
    if (signal.aborted) return;
  }
  controls();
  regions();
  if (doneOf(item).ready) await restore();
}

async function searchFirst(item, signal) {
  const { mask } = page.stage;
  status(t("searching"));
  const painted = Boolean(item.mask);
  await search(item, signal);
  if (signal.aborted) return;
  if (!item.mask) {
    asFound();
    mask.past = []; // what was found is no step
  } else if (!painted) step(() => mask.all((i, value) => (item.found[i] ? 255 : value)));
}

// Another tab: the picture stays as it is, with what this tab has of it.
export async function turn() {
  const { current: item, stage } = page;
  stage.prediction = null;
  compare(false);
  notes("");
  list();
  caption();
  if (!item) return;
  if (!stage.base) return item.failed ? undefined : show(item);
  const signal = begin();
  try {
    await prepare(item, signal);
  } catch (error) {
    if (!signal.aborted) failed(item, error);
  }
}

// Find what is censored; `found` is then a byte for each pixel of the view.
export async function search(item, signal) {
  if (item.found) return;
  const told = await page.engine.find(item, signal);
  const labels = (await pixelsOf(told.labels)).data;
  item.found = new Uint8Array(labels.length / 4);
  for (let i = 0; i < item.found.length; i++) item.found[i] = labels[4 * i];
  Object.assign(item, { regions: told.regions, restoredBefore: told.restored });
}

function failed(item, error) {
  item.failed = error.message;
  if (item === page.current) {
    page.stage.close();
    status("");
    notice(t("notOpened", item.name), error.message);
    controls();
  }
  list();
}

// What a tab is given beside the picture; null where nothing is to be done.
export async function givenOf(item, task = page.task) {
  if (task === "stylize") return page.style ? new Blob() : null;
  if (LAYERS[task] === "hints") return new Blob([JSON.stringify(item.hints ?? [])]);
  if (LAYERS[task] !== "mask") return new Blob();
  const [width, height] = item.told.view;
  const data = item.mask ?? item.found.map((number) => (number ? 255 : 0));
  return data.includes(255) ? maskFile(data, width, height) : null;
}

export const texts = ({ settings }, task = page.task) => ({
  task,
  restorer: settings.restorer,
  blend: settings.blend / 100,
  feather: settings.feather,
  fill: settings.fill ? 1 : 0,
  strength: settings.strength / 100,
  keep_colours: settings.keepColours ? 1 : 0,
  format: $("#format").value,
});

// The picture of the style, which the server has to hold as well.
export const styleOf = (task = page.task) => (task === "stylize" ? page.style : null);

const nothing = () => status(t(page.task === "stylize" ? "noStyle" : "nothingMarked"));

export async function restore() {
  const { current: item, stage, engine, task } = page;
  if (!stage.base || $("#restore").disabled) return;
  // Begun before anything is waited for: whoever turns to another tab ends it.
  const signal = begin();
  controls();
  status(t(task === "restore" ? "restoring" : "working"));
  notes("");
  try {
    const given = await givenOf(item, task);
    if (signal.aborted) return;
    if (!given) return nothing();
    const told = await engine.predict(item, given, texts(item, task), signal, styleOf(task));
    if (signal.aborted) return;
    if (told.nothing) {
      status("");
      return notes(t("nothingHidden"));
    }
    const prediction = new Prediction(await pixelsOf(told.stack), stage.pixels, told.box);
    if (signal.aborted) return;
    stage.prediction = prediction;
    Object.assign(doneOf(item, task), { ready: true, state: "restored" });
    notes(remarks(told.notes, prediction));
    status("");
    compose();
    compare(true);
    regions();
  } catch (error) {
    if (signal.aborted) return;
    status("");
    notes(error.message);
    regions();
  } finally {
    if (page.running?.signal === signal) page.running = null;
    controls();
    list();
  }
}

function remarks(told, prediction) {
  if (page.task !== "restore") return told.length ? t(`${page.task}Note`) : "";
  return [told.length ? t("partHidden") : "", prediction.fades ? "" : t("featherFound")].join(" ").trim();
}

function compose() {
  const { blend, feather } = page.current.settings;
  page.stage.prediction?.compose(blend / 100, feather);
  page.stage.draw();
}

// again: the network has to work anew.
export function setting(name, value, again) {
  const { current: item, stage } = page;
  if (!item) return;
  item.settings[name] = value;
  for (const done of Object.values(item.done)) delete done.result;
  keep(item);
  if (again) {
    outdate(item);
    if (stage.prediction) restore();
  } else {
    compose();
    if (stage.prediction) compare(true);
  }
  outputs();
}

export async function download(saved = false) {
  const { current: item, stage, engine, task } = page;
  if (!stage.base || $("#download").disabled) return;
  const asked = { ...texts(item, task), ...(saved ? { save: item.index } : {}) };
  const given = await givenOf(item, task);
  if (!given) return nothing();
  const said = t(task === "restore" ? "restoring" : "working");
  status(said);
  try {
    const told = await engine.result(item, given, asked, undefined, styleOf(task));
    if (told.path) tell(t("saved", told.path));
    else saveFile(told.blob, told.name);
  } catch (error) {
    tell(error.message, true);
  }
  if ($("#state").textContent === said) status("");
}

// Settings that the browser kept of a version with other restorers.
export function knownSettings(kept) {
  const settings = { ...DEFAULTS, ...kept };
  const known = [...$("#restorer").options].some((option) => option.value === settings.restorer);
  return known ? settings : { ...settings, restorer: DEFAULTS.restorer };
}
