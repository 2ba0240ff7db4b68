// The page: what its buttons, keys and drops do, and how it starts.

import { droppedFiles } from "./files.js";
import { $, recallTheme, tell, toggleHelp, toggleTheme } from "./frame.js";
import { openKept } from "./kept.js";
import { asFound, brush, choose, clear, edited, loadMask, saveMask, tick, undo } from "./marks.js";
import { caption, compare, controls, list, outputs, regions, showTab, status, welcome } from "./panel.js";
import { add, addFiles, all, cancel, chooseStyle, move, remove, takeStyle, zip } from "./pictures.js";
import { Stage } from "./stage.js";
import { connect, page } from "./state.js";
import { chooseLanguage, currentLanguage, t, translate } from "./strings.js";
import { Tabs } from "./tabs.js";
import { download, knownSettings, restore, setting, show, turn } from "./work.js";

const THEME = "oppai-theme";
const TAB = "oppai-tab";

connect(
  (how) => {
    const text = { gone: t("lost"), token: t("lostToken") }[how] ?? "";
    if ($("#lost").textContent !== text) $("#lost").textContent = text;
    $("#lost").hidden = !text;
  },
  ({ stage: name, done, total }) => {
    if (total > 1 && name.endsWith("tiles")) status(`${t("working")} ${t("tiles", done, total)}`);
  },
);
const stage = (page.stage = new Stage($("#stage canvas"), {
  edited,
  splitMoved: (part) => ($("#split").value = 100 * part),
}));

const tabs = new Tabs($("#tabs"), $("#panel"), (task) => {
  sessionStorage.setItem(TAB, task);
  open(task);
  turn();
});

function open(task) {
  page.task = task;
  tabs.show(task);
  showTab();
  translate();
  if ($(`[data-tool=${stage.tool}]`).hidden) choose("brush");
}

// Buttons

const on = (id, name, action) => $(`#${id}`).addEventListener(name, action);
const BUTTONS = {
  open: () => $("#files").click(),
  "open-folder": () => $("#tree").click(),
  undo: () => undo(),
  redo: () => undo(true),
  "as-found": asFound,
  clear,
  "save-mask": saveMask,
  "load-mask": () => $("#mask-file").click(),
  "choose-style": () => $("#style-file").click(),
  restore,
  download: () => download(),
  save: () => download(true),
  "restore-all": all,
  zip,
  remove: () => page.current && remove([page.current]),
  "remove-all": () => page.items.length && confirm(t("removeSure")) && remove([...page.items]),
  cancel,
  help: toggleHelp,
  close: toggleHelp,
  theme: () => toggleTheme(THEME),
};
for (const [id, action] of Object.entries(BUTTONS)) on(id, "click", action);

// What was kept comes first.
const take = async (files) => {
  await started;
  addFiles(files);
};
const one = (action) => ([file]) => file && action(file);
const FILES = { files: take, tree: take, "mask-file": one(loadMask), "style-file": one(chooseStyle) };
for (const [id, action] of Object.entries(FILES)) {
  on(id, "change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    action(files);
  });
}

on("tools", "click", (event) => {
  const button = event.target.closest("[data-tool]");
  if (button) choose(button.dataset.tool);
});
on("stage", "click", () => page.items.length || $("#files").click());
const rowOf = (list_, target) => [...$(list_).children].indexOf(target.closest("li"));
on("pictures", "click", (event) => {
  if (event.target.closest("button")) show(page.items[rowOf("#pictures", event.target)]);
});
on("regions", "click", (event) => {
  if (!event.target.matches("button")) return;
  const { box } = stage.regions[rowOf("#regions", event.target)];
  stage.view.show(box, Math.min(...stage.view.area) / 5, 8);
  stage.draw();
});
on("regions", "change", (event) => tick(rowOf("#regions", event.target), event.target.checked));

// Sliders and choices

const slide = (id, action) => on(id, "input", (event) => action(Number(event.target.value)));
slide("size", brush);
slide("tolerance", (value) => {
  stage.tolerance = value;
  outputs();
});
slide("blend", (value) => setting("blend", value));
slide("feather", (value) => setting("feather", value));
slide("split", (value) => stage.moveSplit(value / 100));
slide("strength", () => outputs());
on("strength", "change", (event) => setting("strength", Number(event.target.value), true));
on("everywhere", "change", (event) => (stage.everywhere = event.target.checked));
on("fill", "change", (event) => setting("fill", event.target.checked, true));
on("keep-colours", "change", (event) => setting("keepColours", event.target.checked, true));
on("restorer", "change", (event) => setting("restorer", event.target.value, true));
on("hint-colour", "input", (event) => {
  if (stage.hints) stage.hints.colour = event.target.value;
  choose("brush");
});
on("format", "change", () => {
  for (const item of page.items) for (const done of Object.values(item.done)) delete done.result;
});
on("language", "change", (event) => {
  chooseLanguage(event.target.value);
  if (!page.items.length) welcome();
  caption();
  regions();
  controls();
});

// Keys and drops

const KEYS = {
  b: () => choose("brush"), e: () => choose("eraser"), r: () => choose("box"),
  c: () => choose("colour"), h: () => choose("hand"),
  "[": () => brush(Number($("#size").value) - 4), "]": () => brush(Number($("#size").value) + 4),
  enter: restore, a: all, s: () => page.current && download(), z: () => undo(), y: () => undo(true),
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
  const tab = tabs.tabs[Number(key) - 1];
  const action = tab ? () => tabs.take(tab) : KEYS[key];
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
addEventListener("drop", async (event) => take(await droppedFiles(event.dataTransfer)));
addEventListener("paste", (event) => take([...event.clipboardData.files]));

async function start() {
  recallTheme(THEME);
  $("#language").value = currentLanguage();
  open("restore");
  welcome();
  brush(24);
  controls();
  page.offer = await page.engine.start();
  $("#folder").textContent = page.offer.folder ?? "";
  tabs.offer(page.offer.tabs);
  const last = sessionStorage.getItem(TAB);
  open(page.offer.tabs.includes(last) ? last : "restore");
  const kept = await openKept(() => tell(t("storeFull"), true));
  for (const { settings, ...item } of kept.items) {
    page.items.push({ ...item, settings: knownSettings(settings), done: {} });
  }
  if (kept.style && page.offer.tabs.includes("stylize")) await takeStyle(kept.style);
  const listed = new Set(page.items.filter((item) => item.index !== null).map((item) => item.name));
  page.offer.names.forEach((name, index) => {
    if (!listed.has(name)) add(name, null, index);
  });
  list();
}

const started = start();
started.then(() => page.items.length && show(page.items[0]));
