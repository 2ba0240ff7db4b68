// The canvas: draws the picture, its mask or hints and its result; turns pointers and
// keys into strokes, boxes and moves.

import { t } from "./strings.js";
import { Surface } from "./surface.js";

const FILL = [44, 196, 178, 96];
const RIM = [10, 255, 230, 255];

export class Stage extends Surface {
  // edited(): what is drawn upon has another step; splitMoved(part): where the slider is.
  constructor(canvas, { edited, splitMoved }) {
    super(canvas);
    this.edited = edited;
    this.splitMoved = splitMoved;
    this.tool = "brush";
    this.radius = 12; // pixels of the view
    this.tolerance = 16;
    this.everywhere = false;
    this.comparing = false;
    this.split = 0.5; // of the canvas's width
    this.showMask = true;
    this.cursor = null; // where the keys are in the picture
    this.corner = null; // of a box by keys
    this.close();
    this.listen();
    this.on("keydown", (event) => this.keyDown(event));
    this.on("keyup", (event) => this.keyUp(event));
    this.on("blur", () => this.keyUp({ key: " " }));
  }

  close() {
    this.base = this.mask = this.hints = this.layer = this.overlay = this.prediction = null;
    this.regions = [];
    this.drag = this.cursor = this.corner = null;
    this.draw();
  }

  // `pixels`: ImageData of the view; `mask`: its Mask, whose changes are painted;
  // `hints`: its Hints.
  open(pixels, mask, hints) {
    const { width, height } = pixels;
    this.close();
    this.pixels = pixels;
    this.base = new OffscreenCanvas(width, height);
    this.base.getContext("2d").putImageData(pixels, 0, 0);
    this.overlay = new OffscreenCanvas(width, height);
    [this.mask, this.hints, this.layer] = [mask, hints, mask];
    mask.changed = (part) => {
      this.tint(part);
      this.draw();
    };
    this.view.open(width, height);
    this.tint([0, 0, width, height]);
    this.draw();
  }

  // Draw upon the "mask", the "hints" or, without a name, upon nothing.
  drawOn(name) {
    this.layer = name ? this[name] : null;
    this.drag = this.corner = null;
    this.draw();
  }

  // Whether pointers and keys move the picture.
  get moves() {
    return this.comparing || this.tool === "hand" || !this.layer;
  }

  // Colour the mask within a part, and its rim, in which one pixel more is looked at.
  tint([left, top, right, bottom]) {
    const { width, height, data } = this.mask;
    [left, top] = [Math.max(0, left - 1), Math.max(0, top - 1)];
    [right, bottom] = [Math.min(width, right + 1), Math.min(height, bottom + 1)];
    const image = new ImageData(right - left, bottom - top);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const i = y * width + x;
        if (!data[i]) continue;
        const inner =
          (x === 0 || data[i - 1]) && (x === width - 1 || data[i + 1]) &&
          (y === 0 || data[i - width]) && (y === height - 1 || data[i + width]);
        image.data.set(inner ? FILL : RIM, 4 * ((y - top) * (right - left) + x - left));
      }
    }
    this.overlay.getContext("2d").putImageData(image, left, top);
  }

  press(event) {
    if (!this.base) return;
    this.canvas.focus({ preventScroll: true });
    event.preventDefault();
    const at = this.where(event);
    this.pointer = at;
    this.cursor = this.corner = null;
    if (event.pointerType === "touch") this.touches.set(event.pointerId, at);
    if (this.touches.size === 2) {
      this.layer?.cancel(); // what the first finger began was no stroke
      this.drag = { mode: "pinch" };
      return this.draw();
    }
    if (this.touches.size > 2) return;
    this.canvas.setPointerCapture(event.pointerId);
    const split = Math.abs(at[0] - this.split * this.view.area[0]) < 14;
    if (this.comparing && split) this.drag = { mode: "split" };
    else if (event.button === 1 || this.space || this.moves) {
      this.drag = { mode: "pan", at };
    } else if (event.button === 0 || event.button === 2) {
      this.begin(this.view.toPicture(at), event.button === 2 || event.altKey);
    }
    this.draw();
  }

  // Start the tool at a point of the picture; `erase`: take away what it would add.
  begin(at, erase = false) {
    const value = erase !== (this.tool === "eraser") ? 0 : 255;
    this.layer.begin();
    if (this.tool === "colour") {
      this.mask.colour(this.pixels.data, at, this.tolerance, this.everywhere, value);
      this.finish();
    } else if (this.tool === "box") this.drag = { mode: "box", start: at, now: at, value };
    else {
      this.drag = { mode: "paint", at, value };
      this.layer.stroke(at, at, this.radius, value);
    }
  }

  finish() {
    if (this.layer.commit()) this.edited();
  }

  moved(event) {
    const at = this.where(event);
    const now = this.base ? this.view.toPicture(at) : at;
    this.pointer = at;
    const drag = this.drag;
    if (drag?.mode === "pinch") return this.pinch(event.pointerId, at);
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, at);
    if (drag?.mode === "split") this.moveSplit(at[0] / this.view.area[0]);
    else if (drag?.mode === "pan") {
      this.view.pan(at[0] - drag.at[0], at[1] - drag.at[1]);
      drag.at = at;
    } else if (drag?.mode === "paint") {
      this.layer.stroke(drag.at, now, this.radius, drag.value);
      drag.at = now;
    } else if (drag?.mode === "box") drag.now = now;
    this.draw();
  }

  moveSplit(part) {
    this.split = Math.min(1, Math.max(0, part));
    this.splitMoved(this.split);
    this.draw();
  }

  release(event) {
    const drag = this.drag;
    this.touches.delete(event.pointerId);
    this.drag = null;
    if (event.pointerType === "touch") this.pointer = null;
    if (drag?.mode === "box") this.mask.box(drag.start, drag.now, drag.value);
    if (drag?.mode === "box" || drag?.mode === "paint") {
      if (event.type === "pointercancel") this.layer.cancel();
      else this.finish();
    }
    this.draw();
  }

  wheel(event) {
    if (this.base) super.wheel(event);
    else event.preventDefault();
  }

  zoom(factor) {
    if (factor) this.view.zoom(factor);
    else this.view.fit();
    this.draw();
  }

  keyDown(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!this.base || event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) {
      event.preventDefault();
      const far = (event.shiftKey ? 40 : 4) / Math.min(this.view.scale, 4);
      this.moveCursor(step[0] * far, step[1] * far);
    } else if (event.key === " ") {
      event.preventDefault();
      if (event.repeat || this.space) return;
      this.space = true;
      if (this.cursor && !this.moves) this.useTool();
    } else if (event.key === "Escape") {
      this.corner = this.drag = null;
      this.layer?.cancel();
    } else return;
    this.draw();
  }

  // Move the tool by keys; a picture that is compared or moved by hand follows instead.
  moveCursor(dx, dy) {
    if (this.moves) {
      return this.view.pan(-dx * this.view.scale, -dy * this.view.scale);
    }
    const middle = this.view.area.map((side) => side / 2);
    const from = this.cursor ?? this.view.toPicture(this.pointer ?? middle);
    const [width, height] = this.view.size;
    this.cursor = [
      Math.min(width, Math.max(0, from[0] + dx)), Math.min(height, Math.max(0, from[1] + dy)),
    ];
    this.pointer = null;
    if (this.drag?.mode === "paint") {
      this.layer.stroke(this.drag.at, this.cursor, this.radius, this.drag.value);
      this.drag.at = this.cursor;
    }
    // The tool stays on the screen.
    const [x, y] = this.view.toScreen(this.cursor);
    const off = (v, side) => Math.min(0, side - 20 - v) + Math.max(0, 20 - v);
    const [w, h] = this.view.area;
    if (off(x, w) || off(y, h)) this.view.pan(off(x, w), off(y, h));
  }

  useTool() {
    if (this.tool !== "box") return this.begin(this.cursor);
    if (!this.corner) {
      this.corner = this.cursor;
      return;
    }
    this.mask.begin();
    this.mask.box(this.corner, this.cursor, 255);
    this.corner = null;
    this.finish();
  }

  keyUp(event) {
    if (event.key !== " " || !this.space) return;
    this.space = false;
    if (this.drag?.mode === "paint" && this.cursor) {
      this.drag = null;
      this.finish();
    }
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const [width, height] = this.clear();
    if (!this.base) return;
    this.place(this.base, [0, 0, ...this.view.size]);
    const shown = this.comparing && this.prediction;
    if (shown) this.drawResult(width, height);
    else if (this.showMask && this.layer === this.hints) this.drawHints();
    else if (this.showMask && this.layer) {
      this.place(this.overlay, [0, 0, ...this.view.size]);
      for (const region of this.regions) this.drawTag(region);
    }
    if (!shown) this.drawTool();
    const at = this.pointer;
    const near = shown && at && Math.abs(at[0] - this.split * width) < 14;
    const moves = this.moves || this.space;
    canvas.style.cursor = near ? "ew-resize" : moves ? "grab" : "crosshair";
  }

  place(image, [left, top, right, bottom]) {
    const [x, y] = this.view.toScreen([left, top]);
    const scale = this.view.scale;
    this.context.drawImage(image, x, y, (right - left) * scale, (bottom - top) * scale);
  }

  drawResult(width, height) {
    const { context } = this;
    const x = this.split * width;
    context.save();
    context.beginPath();
    context.rect(x, 0, width - x, height);
    context.clip();
    this.place(this.prediction.canvas, this.prediction.box);
    context.restore();
    this.stroke([], () => {
      context.moveTo(x, 0);
      context.lineTo(x, height);
    });
    context.fillStyle = "#fff";
    context.strokeStyle = "rgb(0 0 0 / .5)";
    context.beginPath();
    context.arc(x, height / 2, 9, 0, 7);
    context.fill();
    context.stroke();
  }

  // A thin line that shows on bright and dark pictures.
  stroke(dashes, path) {
    const { context } = this;
    context.beginPath();
    path();
    context.lineWidth = 3;
    context.strokeStyle = "rgb(0 0 0 / .45)";
    context.stroke();
    context.setLineDash(dashes);
    context.lineWidth = 1.25;
    context.strokeStyle = "rgb(255 255 255 / .95)";
    context.stroke();
    context.setLineDash([]);
  }

  drawHints() {
    const { context } = this;
    for (const [x, y, colour] of this.hints.points) {
      const at = this.view.toScreen([x, y]);
      context.fillStyle = colour;
      context.beginPath();
      context.arc(...at, 7, 0, 7);
      context.fill();
      this.stroke([], () => context.arc(...at, 7, 0, 7));
    }
  }

  drawTag({ label, box }) {
    const { context } = this;
    const [left, top] = this.view.toScreen(box);
    const size = 0.86 * parseFloat(getComputedStyle(document.body).fontSize);
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(label).width + 10;
    const x = Math.min(Math.max(left, 3), Math.max(3, this.view.area[0] - width - 3));
    const height = size + 5;
    const y = top >= height + 5 ? top - height - 3 : top + 3;
    context.fillStyle = "#2cc4b2";
    context.beginPath();
    context.roundRect(x, y, width, height, 4);
    context.fill();
    context.fillStyle = "#10211f";
    context.fillText(label, x + 5, y + size + 0.5);
  }

  drawTool() {
    const { context } = this;
    const at = this.cursor ? this.view.toScreen(this.cursor) : this.pointer;
    const box = this.drag?.mode === "box" ? [this.drag.start, this.drag.now]
      : this.corner ? [this.corner, this.cursor] : null;
    if (box) {
      const [[x, y], [z, w]] = box.map((p) => this.view.toScreen(p));
      this.stroke([5, 4], () => context.rect(x, y, z - x, w - y));
    }
    if (!at || this.space || this.moves) return;
    if (this.tool === "brush" || this.tool === "eraser") {
      this.stroke([], () => context.arc(...at, Math.max(1, this.radius * this.view.scale), 0, 7));
    }
    if (this.cursor) {
      this.stroke([], () => {
        context.moveTo(at[0] - 7, at[1]);
        context.lineTo(at[0] + 7, at[1]);
        context.moveTo(at[0], at[1] - 7);
        context.lineTo(at[0], at[1] + 7);
      });
    }
  }
}

// What a region is, in a few words.
export function nameOf({ kind, block, sigma }) {
  const number = (value) => String(Math.round(10 * value) / 10);
  if (block) return `${t(kind)} · ${t("blocks", number(block))}`;
  return sigma ? `${t(kind)} · ${t("sigma", number(sigma))}` : t(kind);
}
