// What the page holds: its pictures, the one that is shown, the tab, and who works for it.

import { Engine } from "./engine.js";

export const DEFAULTS = { restorer: "default", blend: 100, feather: 8, fill: false, strength: 100, keepColours: false };
// What each tab's pictures are drawn upon with: a mask, coloured hints, or nothing.
export const LAYERS = { restore: "mask", complete: "mask", colorize: "hints" };

export const page = {
  items: [],
  current: null, // the item that is shown
  task: "restore", // the tab
  style: null, // the picture of the style, an item that is in no list
  offer: { names: [], folder: null, most: 0, tabs: ["restore"] },
  running: null, // the AbortController of what runs for the shown picture
  engine: null,
  stage: null,
};

// `lost` and `stage`: see `Engine`.
export function connect(lost, stage) {
  page.engine = new Engine(lost, stage);
}

// What a tab has made of an item: `ready`, `state` and the `result` of many pictures.
export const doneOf = (item, task = page.task) => (item.done[task] ??= {});

// An item's result is of other settings, another mask or other hints than are shown.
export function outdate(item, tasks = [page.task]) {
  for (const task of tasks) delete item.done[task];
}

export const bytesOf = async (item) => {
  item.blob ??= await page.engine.bytes(item.index);
  return item.blob;
};

export const stem = (name) => name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");

export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
