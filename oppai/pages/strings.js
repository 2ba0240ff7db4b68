// Every word of the page, in English and Japanese.

import { Words } from "./words.js";

const STRINGS = {
  title: ["restores pictures", "画像の復元"],
  tabs: ["What is done with the picture", "処理の種類"],
  restoreTab: ["Restore", "復元"],
  restoreAbout: ["Shows what a mosaic, blur or bar hides.", "モザイク、ぼかし、帯で隠れた部分を復元します。"],
  colorizeTab: ["Colour", "彩色"],
  colorizeAbout: [
    "Colours a grey picture. Brush a colour where you know it.",
    "白黒の画像に色を付けます。分かる所に色を塗ってください。",
  ],
  colorizeDo: ["Colour", "色を付ける"],
  colorizeNote: ["This picture has colours: only its lightness is used.", "この画像には色があります。明るさだけを使います。"],
  cleanTab: ["Clean lines", "線画"],
  cleanAbout: ["Turns a rough sketch into clean lines.", "ラフスケッチをきれいな線画にします。"],
  cleanDo: ["Clean the lines", "線画にする"],
  cleanNote: ["This is no sketch on light paper: lines of a photograph are not found.", "明るい紙のスケッチではありません。写真の線は見つかりません。"],
  completeTab: ["Complete", "補完"],
  completeAbout: ["Fills what you mark with what fits around it.", "示した部分を周りに合うもので埋めます。"],
  completeDo: ["Complete", "補完する"],
  segmentTab: ["Parts", "部位"],
  segmentAbout: ["Shows hair, skin, clothes and background.", "髪、肌、服、背景を色分けします。"],
  segmentDo: ["Show the parts", "部位を示す"],
  stylizeTab: ["Style", "画風"],
  stylizeAbout: ["Paints the picture in the style of another one.", "別の画像の画風で描き直します。"],
  stylizeDo: ["Paint in this style", "この画風で描く"],
  pix2pixTab: ["Own pairs", "学習した変換"],
  pix2pixAbout: ["Does what your run has learnt from pairs of pictures.", "画像の対から学習した変換をします。"],
  pix2pixDo: ["Translate", "変換する"],
  working: ["Working…", "処理しています…"],
  hints: ["Colours", "色"],
  hintColour: ["Paint", "塗る色"],
  style: ["Style", "画風"],
  chooseStyle: ["Choose a picture", "画像を選ぶ"],
  stylePicture: ["Picture of the style", "画風の画像"],
  noStyle: ["Choose a picture of the style first.", "先に画風の画像を選んでください。"],
  strength: ["Strength", "強さ"],
  keepColours: ["Keep the picture's colours", "元の色を残す"],
  doAll: ["All pictures", "すべての画像"],
  allMade: ["{0} made, {1} left out, {2} failed.", "作成 {0}、対象外 {1}、失敗 {2}。"],
  animationFirst: ["{0} frames; the first one is used.", "{0} コマ。最初のコマだけを使います。"],
  open: ["Open pictures", "画像を開く"],
  openFolder: ["Folder", "フォルダー"],
  language: ["Language", "言語"],
  theme: ["Light or dark (T)", "明るい・暗い (T)"],
  help: ["Keys and mouse (?)", "キーとマウス (?)"],
  canvas: [
    "Picture and what is drawn upon it. Arrow keys move the tool, the space bar uses it.",
    "画像と塗った所。矢印キーで動かし、スペースキーで使います。",
  ],
  dropTitle: ["Drop pictures or a folder here, or click", "画像やフォルダーをここにドロップ、またはクリック"],
  dropText: [
    "Mosaics, blurs, white-outs and bars are found and outlined.\nEverything stays on this machine.",
    "モザイク、ぼかし、白塗り、黒帯を見つけて示します。\nすべてこのコンピューターの中だけで行います。",
  ],
  found: ["Found", "検出"],
  searching: ["Looking for what is censored…", "隠された部分を探しています…"],
  opening: ["Opening…", "開いています…"],
  nothingFound: ["Nothing censored was found. Mark it with the brush or a box.", "隠された部分は見つかりませんでした。ブラシか枠で示してください。"],
  restoredBefore: ["{0} restored before, left as they are.", "以前に復元した {0} か所はそのままにします。"],
  mosaic: ["Mosaic", "モザイク"],
  blur: ["Blur", "ぼかし"],
  light: ["Light", "光"],
  white: ["White-out", "白塗り"],
  black: ["Bar", "黒帯"],
  missing: ["Missing", "欠け"],
  blocks: ["blocks {0} px", "ブロック {0} px"],
  sigma: ["strength {0} px", "強さ {0} px"],
  include: ["Restore {0}", "{0}を復元する"],
  mask: ["Mask", "マスク"],
  brush: ["Brush", "ブラシ"],
  eraser: ["Eraser", "消しゴム"],
  box: ["Box", "枠"],
  colour: ["Colour", "同じ色"],
  hand: ["Move", "移動"],
  size: ["Size", "太さ"],
  tolerance: ["Tolerance", "許容差"],
  everywhere: ["This colour everywhere", "離れた所の同じ色も"],
  undo: ["Undo", "元に戻す"],
  redo: ["Redo", "やり直す"],
  asFound: ["As found", "検出に戻す"],
  clear: ["Clear", "すべて消す"],
  saveMask: ["Save mask", "マスクを保存"],
  loadMask: ["Load mask", "マスクを読む"],
  maskSize: ["{0} has another size than the picture.", "{0} は画像と大きさが違います。"],
  restorer: ["Restorer", "復元器"],
  default: ["default – faithful", "default – 元に忠実"],
  sharp: ["sharp – invents detail", "sharp – 細部を補う"],
  restoreDo: ["Restore", "復元する"],
  restoring: ["Restoring…", "復元しています…"],
  blend: ["Blend", "適用度"],
  feather: ["Feather", "縁の柔らかさ"],
  fill: ["Restore even where nothing hides it", "隠れていなくても復元する"],
  featherFound: ["A found region ends where its blocks do; feather softens what you paint.", "検出部分はブロックの端で終わります。柔らかさは塗った部分に効きます。"],
  nothingMarked: ["Nothing is marked. Use the brush or a box first.", "マスクがありません。先にブラシか枠で示してください。"],
  nothingHidden: [
    "What is marked shows no mosaic, blur, white-out or bar. Tick the box above to restore it anyway.",
    "示した部分にモザイク、ぼかし、白塗り、黒帯はありません。それでも復元するには上の欄に印を付けてください。",
  ],
  partHidden: ["A marked part shows nothing that hides it, and stays.", "示した部分の一部には何も隠れていないので、そのままにします。"],
  before: ["Before", "前"],
  after: ["After", "後"],
  split: ["Between before and after", "前と後の境目"],
  result: ["Result", "結果"],
  format: ["Format", "形式"],
  asItCame: ["as it came", "元のまま"],
  download: ["Download", "ダウンロード"],
  save: ["Save", "保存"],
  saved: ["Saved as {0}.", "{0} に保存しました。"],
  restoreAll: ["Restore all", "すべて復元"],
  zip: ["All as ZIP", "ZIPで全部"],
  remove: ["Remove", "外す"],
  removeAll: ["Remove all", "すべて外す"],
  removeSure: ["Remove all pictures and masks from this page? Your files stay.", "画像とマスクをすべてこのページから外しますか。元のファイルは残ります。"],
  cancel: ["Cancel", "中止"],
  cancelled: ["Cancelled.", "中止しました。"],
  pictures: ["Pictures", "画像"],
  ofPictures: ["{0} of {1} pictures", "{1} 枚中 {0} 枚"],
  tiles: ["tile {0} of {1}", "部分 {0}/{1}"],
  allDone: ["{0} restored, {1} show nothing censored, {2} failed.", "復元 {0}、隠れなし {1}、失敗 {2}。"],
  noResults: ["Restore pictures first.", "先に復元してください。"],
  animation: ["{0} frames; the first is shown, all are restored.", "{0} コマ。最初のコマを表示し、全コマを復元します。"],
  tooLarge: ["{0} is larger than {1} MB.", "{0} は {1} MB を超えています。"],
  notOpened: ["{0} cannot be opened.", "{0} を開けません。"],
  lost: ["The server does not answer. Start the command again; everything here is kept.", "サーバーが応答しません。コマンドをもう一度実行してください。ここの内容は残ります。"],
  lostToken: ["The server was started again: open the address that it printed. Everything here is kept.", "サーバーが再起動しました。表示されたアドレスを開いてください。ここの内容は残ります。"],
  storeFull: ["The browser's storage is full: close this page and the masks are lost.", "ブラウザーの保存領域が一杯です。ページを閉じるとマスクは失われます。"],
  keys: ["Keys and mouse", "キーとマウス"],
  local: ["Nothing leaves this machine. The browser keeps pictures and masks until you remove them here.", "何も外へ送りません。画像とマスクは、ここで外すまでブラウザーに残ります。"],
  close: ["Close", "閉じる"],
  keyTools: ["brush, eraser, box, colour, move", "ブラシ、消しゴム、枠、同じ色、移動"],
  keySize: ["thinner, thicker brush", "ブラシを細く、太く"],
  keyArrows: ["move the tool; with Shift ten times as far", "道具を動かす。Shiftで10倍"],
  keySpace: ["use the tool; held with arrows: a line; for a box: both corners", "道具を使う。押したまま矢印で線、枠は両方の角で"],
  keyRestore: ["restore", "復元する"],
  keyAll: ["restore all pictures", "すべて復元"],
  keyDownload: ["download", "ダウンロード"],
  keyUndo: ["undo, redo", "元に戻す、やり直す"],
  keyPicture: ["previous, next picture", "前の画像、次の画像"],
  keyZoom: ["zoom; fit", "拡大縮小、全体"],
  keyMask: ["show or hide the mask", "マスクの表示"],
  keyCompare: ["before and after", "前と後"],
  keyWheel: ["zoom; two fingers zoom and move", "拡大縮小。指2本で拡大と移動"],
  keyPan: ["middle button, or Space held + drag: move the picture", "中ボタン、またはスペース+ドラッグ：画像を動かす"],
  wheel: ["wheel", "ホイール"],
  drag: ["drag", "ドラッグ"],
  keyTabs: ["another tab", "別のタブ"],
  keyTheme: ["light or dark", "明るい・暗い"],
};

const KEYS = [
  ["B E R C H", "keyTools"], ["[ ]", "keySize"], ["← ↑ → ↓", "keyArrows"], ["Space", "keySpace"],
  ["Enter", "keyRestore"], ["A", "keyAll"], ["S", "keyDownload"], ["Z Y", "keyUndo"],
  ["PgUp PgDn", "keyPicture"], ["+ − F", "keyZoom"], ["M", "keyMask"], ["X", "keyCompare"],
  ["wheel", "keyWheel"], ["drag", "keyPan"], ["1 … 7", "keyTabs"], ["T", "keyTheme"],
];

const words = new Words("oppai-language", STRINGS);

export const currentLanguage = () => words.language;
export const t = (key, ...values) => words.say(key, ...values);

export function chooseLanguage(name) {
  words.choose(name);
  showKeys();
}

export function translate() {
  words.translate();
  showKeys();
}

function showKeys() {
  const rows = KEYS.flatMap(([keys, text]) => {
    const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
    for (const name of keys.split(" ")) {
      const key = document.createElement("kbd");
      key.textContent = name in STRINGS ? t(name) : name;
      term.append(key, " ");
    }
    meaning.textContent = t(text);
    return [term, meaning];
  });
  document.querySelector("#keys").replaceChildren(...rows);
}
