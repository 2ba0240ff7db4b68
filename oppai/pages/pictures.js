// The list of pictures: how they come, go, and are all worked on.

import { $, tell } from "./frame.js";
import { isPicture } from "./files.js";
import { forget, keep, keepStyle, newKey } from "./kept.js";
import { pixelsOf } from "./mask.js";
import { compare, list, notes, status, thumbnail, welcome } from "./panel.js";
import { restoreAll, zipResults } from "./queue.js";
import { bytesOf, DEFAULTS, doneOf, LAYERS, page, saveFile } from "./state.js";
import { t } from "./strings.js";
import { givenOf, search, show, styleOf, texts } from "./work.js";

export function add(name, blob, index = null) {
  const order = 1 + Math.max(0, ...page.items.map((item) => item.order));
  const own = { mask: null, hints: [], settings: { ...DEFAULTS }, done: {} };
  const item = { key: newKey(order), order, name, blob, index, ...own };
  page.items.push(item);
  if (blob) keep(item);
  return item;
}

const fits = (file) => file.size <= page.offer.most || tell(t("tooLarge", file.name, Math.round(page.offer.most / 1e6)), true);

export function addFiles(files) {
  const chosen = [...files].filter(isPicture);
  for (const file of files) if (!chosen.includes(file) && files.length === 1) tell(t("notOpened", file.name), true);
  const added = chosen.filter(fits).map((file) => add(file.name, file));
  list();
  if (added.length) show(added[0]);
}

export async function chooseStyle(file) {
  if (!fits(file)) return;
  await takeStyle({ name: file.name, blob: file });
}

// Open the picture of the style; one that cannot be opened is none.
export async function takeStyle(style) {
  try {
    await page.engine.open(style);
    const pixels = await pixelsOf(await page.engine.view(style));
    thumbnail(pixels, 320, $("#style-picture"));
  } catch (error) {
    return tell(error.message, true);
  }
  page.style = style;
  $("#style-picture").hidden = false;
  $("#style-name").textContent = style.name;
  for (const item of page.items) delete item.done.stylize;
  keepStyle({ name: style.name, blob: style.blob });
  page.stage.prediction = null;
  compare(false);
  notes("");
  list();
}

const queue = {
  bytesOf,
  changed: list,
  progress(done, all) {
    $("#queue").hidden = all === 0;
    $("#queue i").style.transform = `scaleX(${all ? done / all : 0})`;
    $("#queue span").textContent = t("ofPictures", done, all);
  },
};

export async function all() {
  if (queue.control) return;
  const { task } = page; // another tab may be looked at meanwhile
  if (task === "stylize" && !page.style) return status(t("noStyle"));
  queue.control = new AbortController();
  const { signal } = queue.control;
  Object.assign(queue, {
    items: page.items,
    engine: page.engine,
    doneOf: (item) => doneOf(item, task),
    search: (item) => (LAYERS[task] === "mask" ? search(item, signal) : null),
    givenOf: (item) => givenOf(item, task),
    result: (item, given) => page.engine.result(item, given, texts(item, task), signal, styleOf(task)),
  });
  const counts = await restoreAll(queue, signal);
  queue.control = null;
  queue.progress(0, 0);
  const said = t(task === "restore" ? "allDone" : "allMade", counts.restored, counts.clean, counts.failed);
  tell((signal.aborted ? `${t("cancelled")} ` : "") + said);
  list();
}

export const cancel = () => queue.control?.abort();

export async function zip() {
  const results = page.items.map((item) => doneOf(item).result).filter(Boolean);
  if (!results.length) return tell(t("noResults"), true);
  const name = page.task === "restore" ? "restored" : page.task;
  saveFile(await zipResults(results), `${name}.zip`);
}

export async function remove(chosen) {
  const { items } = page;
  for (const item of chosen) {
    items.splice(items.indexOf(item), 1);
    await forget(item);
  }
  if (chosen.includes(page.current)) {
    page.running?.abort();
    page.current = null;
    page.stage.close();
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

export function move(by) {
  const next = page.items[page.items.indexOf(page.current) + by];
  if (next) show(next);
}
