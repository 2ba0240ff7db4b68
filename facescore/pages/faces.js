// The page that finds faces: the server searches each picture, the browser shows them.

import { droppedFiles, isPicture } from "./files.js";
import { $, announce, recallTheme, tell, toggleTheme } from "./frame.js";
import { file, get, reasonOf, renewToken, upload } from "./server.js";
import { Words } from "./words.js";

const words = new Words("facescore-language", {
  title: ["finds faces", "顔を見つける"],
  open: ["Open pictures", "画像を開く"],
  openFolder: ["Folder", "フォルダー"],
  other: ["日本語", "English"],
  theme: ["Light or dark", "明るい・暗い"],
  pictures: ["Pictures", "画像"],
  dropTitle: ["Drop pictures or a folder here, or click", "画像やフォルダーをここにドロップ、またはクリック"],
  dropText: ["The faces of drawn characters are found and framed.\nEverything stays on this machine.", "描かれたキャラクターの顔を見つけて枠で示します。\nすべてこのコンピューターの中だけで行います。"],
  waiting: ["Waiting…", "待っています…"],
  searching: ["Looking for faces…", "顔を探しています…"],
  none: ["No face found", "顔は見つかりませんでした"],
  one: ["1 face", "1 個の顔"],
  many: ["{0} faces", "{0} 個の顔"],
  sure: ["{0} % sure", "確信度 {0} %"],
  save: ["Save with frames", "枠付きで保存"],
  remove: ["Remove", "外す"],
  again: ["Try again", "もう一度"],
  zip: ["All as ZIP", "ZIPで全部"],
  zipAbout: ["All as ZIP: the framed pictures, each face, and tables", "ZIPで全部：枠付きの画像、それぞれの顔、表"],
  removeAll: ["Remove all", "すべて外す"],
  cancel: ["Cancel", "中止"],
  cancelled: ["Cancelled.", "中止しました。"],
  ofPictures: ["{0} of {1} pictures", "{1} 枚中 {0} 枚"],
  tooLarge: ["{0} is larger than {1} MB.", "{0} は {1} MB を超えています。"],
  notPicture: ["{0} is no picture.", "{0} は画像ではありません。"],
  lost: ["The server does not answer. Start the command again, then try again here.", "サーバーが応答しません。コマンドをもう一度実行してから、ここでもう一度試してください。"],
});
const THEME = "facescore-theme";
const SMALL = 0.12; // of the picture's width: a face that its number would hide
const items = []; // { file, row, state, found, reason }
let most = 0; // bytes of a file
let control = null; // of the search that runs

const said = (error) => (error.lost ? words.say("lost") : reasonOf(error));

// A server that was started again has another token, and no pictures.
async function insist(action) {
  try {
    return await action();
  } catch (error) {
    if (error.status === 403 && (await renewToken())) return action();
    throw error;
  }
}

const searched = (item, signal) =>
  insist(async () => (await upload("find", item.file, { name: item.file.name }, signal)).json());

async function search() {
  if (control) return;
  control = new AbortController();
  const { signal } = control;
  for (let item; !signal.aborted && (item = items.find(({ state }) => state === "waiting")); ) {
    item.state = "searching";
    show(item);
    try {
      item.found = await searched(item, signal);
      item.state = "found";
      announce(`${item.file.name}: ${count(item)}`);
    } catch (error) {
      Object.assign(item, { state: "failed", reason: signal.aborted ? "cancelled" : said(error) });
      // Nobody answers: the others would fail alike.
      if (error.lost && !signal.aborted) for (const next of items) fail(next, item.reason);
    }
    show(item);
  }
  if (signal.aborted) for (const item of items) fail(item, "cancelled");
  control = null;
  progress();
}

function fail(item, reason) {
  if (item.state !== "waiting") return;
  Object.assign(item, { state: "failed", reason });
  show(item);
}

function add(files) {
  for (const one of files) {
    if (!isPicture(one)) {
      if (files.length === 1) tell(words.say("notPicture", one.name), true);
    } else if (one.size > most) tell(words.say("tooLarge", one.name, Math.round(most / 1e6)), true);
    else {
      const item = { file: one, row: document.createElement("li"), state: "waiting" };
      items.push(item);
      $("#pictures").append(item.row);
      show(item);
    }
  }
  search();
}

function count({ found }) {
  const n = found.faces.length;
  return n === 1 ? words.say("one") : words.say(n ? "many" : "none", n);
}

function button(key, action) {
  const one = document.createElement("button");
  one.textContent = words.say(key);
  one.addEventListener("click", action);
  return one;
}

// One picture of the list: what it shows, says and offers.
function show(item) {
  const { row, state, found } = item;
  const [about, name, text] = ["div", "strong", "span"].map((tag) => document.createElement(tag));
  about.className = "about";
  name.textContent = item.file.name;
  text.textContent =
    state === "found" ? count(item) : state === "failed" ? reason(item) : words.say(state);
  about.append(name, text);
  if (state === "found") about.append(button("save", () => save(item)));
  if (state === "failed") about.append(button("again", () => again(item)));
  if (state !== "searching") about.append(button("remove", () => remove([item])));
  row.dataset.state = state;
  item.picture ??= found && framed(item);
  row.replaceChildren(...(item.picture ? [item.picture] : []), about);
  if (item.picture) label(item);
  progress();
}

const reason = (item) => (item.reason === "cancelled" ? words.say("cancelled") : item.reason);

function framed(item) {
  const { found } = item;
  const picture = document.createElement("div");
  picture.className = "picture";
  const image = document.createElement("img");
  const address = `/file/shown/${found.key}`;
  Object.assign(image, { src: address, width: found.width, height: found.height, loading: "lazy" });
  // A server that was started again holds it no longer.
  const anew = () => (image.src = `${address}?again`);
  image.addEventListener("error", () => searched(item).then(anew, () => {}), { once: true });
  picture.append(image);
  picture.classList.toggle("small", found.faces.some(([left, , right]) => right - left < SMALL * found.width));
  for (const [left, top, right, bottom] of found.faces) {
    const face = document.createElement("div");
    face.className = "face";
    face.append(document.createElement("span"));
    const across = (value) => `${(100 * value) / found.width}%`;
    const down = (value) => `${(100 * value) / found.height}%`;
    Object.assign(face.style, {
      left: across(left), top: down(top), width: across(right - left), height: down(bottom - top),
    });
    picture.append(face);
  }
  return picture;
}

// The words on a picture, in the language that is chosen.
function label(item) {
  item.picture.querySelector("img").alt = `${item.file.name}: ${count(item)}`;
  item.picture.querySelectorAll(".face").forEach((face, i) => {
    const percent = Math.round(100 * item.found.faces[i][4]);
    face.title = words.say("sure", percent);
    face.firstChild.textContent = `${percent} %`;
  });
}

function again(item) {
  item.state = "waiting";
  show(item);
  search();
}

function remove(chosen) {
  for (const item of chosen) {
    if (item.state === "searching") control.abort();
    items.splice(items.indexOf(item), 1);
    item.row.remove();
  }
  progress();
}

function progress() {
  const done = items.filter(({ state }) => state === "found" || state === "failed").length;
  $("#notice").hidden = items.length > 0;
  $("#queue").hidden = !control || items.length < 2;
  $("#queue i").style.transform = `scaleX(${items.length ? done / items.length : 0})`;
  $("#queue span").textContent = words.say("ofPictures", done, items.length);
  $("#all").hidden = items.length === 0;
  $("#zip").disabled = !items.some(({ state }) => state === "found");
}

function store(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Ask for what is made of pictures; a server that no longer holds them searches again.
async function made(chosen, ask) {
  try {
    try {
      return await insist(ask);
    } catch (error) {
      if (error.status !== 410) throw error;
      for (const item of chosen) await searched(item);
      return await ask();
    }
  } catch (error) {
    tell(said(error), true);
    return null;
  }
}

async function save(item) {
  const blob = await made([item], () => file("drawn", item.found.key));
  const kept = /\.(png|jpe?g|webp)$/i;
  const { name } = item.found;
  if (blob) store(blob, kept.test(name) ? name : `${name.replace(/\.[^.]*$/, "")}.png`);
}

async function zip() {
  const chosen = items.filter(({ state }) => state === "found");
  const keys = JSON.stringify(chosen.map(({ found }) => found.key));
  $("#zip").disabled = true;
  const answer = await made(chosen, () => upload("archive", keys));
  if (answer) store(await answer.blob(), "faces.zip");
  progress();
}

const on = (id, name, action) => $(`#${id}`).addEventListener(name, action);
on("open", "click", () => $("#files").click());
on("notice", "click", () => $("#files").click());
on("open-folder", "click", () => $("#tree").click());
on("cancel", "click", () => control?.abort());
on("zip", "click", zip);
on("remove-all", "click", () => remove([...items]));
on("theme", "click", () => toggleTheme(THEME));
on("language", "click", () => {
  words.choose(words.language === "ja" ? "en" : "ja");
  for (const item of items) show(item);
});
for (const id of ["files", "tree"]) {
  on(id, "change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
}
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    $("#stage").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
addEventListener("drop", async (event) => add(await droppedFiles(event.dataTransfer)));
addEventListener("paste", (event) => add([...event.clipboardData.files]));

recallTheme(THEME);
words.translate();
progress();
({ most } = await get("start"));
document.body.dataset.ready = "";
