// The canvas: draws the picture and its boxes, and turns the mouse into changes.

import { Boxes } from "./boxes.js";
import { View } from "./view.js";

const REACH = 9; // screen pixels round a handle
const COLOURS = { sure: "#2cc4b2", unsure: "#f5b13d", halo: "rgb(0 0 0 / .55)" };
const CURSORS = { nw: "nwse", se: "nwse", ne: "nesw", sw: "nesw", n: "ns", s: "ns", e: "ew", w: "ew" };

export const colour = (row) => (row[4] < 1 ? COLOURS.unsure : COLOURS.sure);

export class Editor {
  // changed(): boxes were changed; drawn(): anything was drawn anew.
  constructor(canvas, { changed, drawn }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.view = new View(canvas);
    this.boxes = new Boxes((before) => {
      this.draw();
      changed(before);
    });
    this.drawn = drawn;
    this.image = null;
    this.hidden = false;
    this.space = false;
    this.pointer = null;
    this.drag = null;
    new ResizeObserver(() => {
      if (this.view.fitted) this.view.fit();
      this.draw();
    }).observe(canvas);
    const on = (name, action) => canvas.addEventListener(name, action, { passive: false });
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.moved(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.release(event));
    on("pointerleave", () => (this.pointer = null));
    on("wheel", (event) => this.wheel(event));
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", () => this.toggleFit());
  }

  open(image, rows, size) {
    this.drag = null;
    this.image = image;
    this.view.open(...size);
    this.boxes.open(rows, size);
    this.draw();
  }

  toggleFit() {
    const box = this.boxes.current;
    if (this.view.fitted && box) this.view.show(box, Math.min(...this.view.area) / 4, 8);
    else this.view.fit();
    this.draw();
  }

  where(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  // Edges of the selected box within reach of a point of the screen, as "nw".
  handle([x, y]) {
    const box = this.boxes.current;
    if (!box || this.hidden) return "";
    const [left, top] = this.view.toScreen([box[0], box[1]]);
    const [right, bottom] = this.view.toScreen([box[2], box[3]]);
    const near = (a, b) => Math.abs(a - b) <= REACH;
    if (x < left - REACH || x > right + REACH || y < top - REACH || y > bottom + REACH) return "";
    // In a small box the nearer edge counts, and the middle is left for moving.
    const inner = (low, high, v) => high - low < 4 * REACH && v > low + 2 && v < high - 2;
    const up = inner(top, bottom, y) ? "" : near(y, top) ? "n" : near(y, bottom) ? "s" : "";
    const side = inner(left, right, x) ? "" : near(x, left) ? "w" : near(x, right) ? "e" : "";
    return up + side;
  }

  press(event) {
    if (!this.image) return;
    this.canvas.focus({ preventScroll: true });
    const at = this.where(event);
    const start = this.view.toPicture(at);
    if (event.button === 2) {
      if (!this.hidden) this.boxes.remove(this.boxes.at(start));
      return this.draw();
    }
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || this.space) {
      this.drag = { mode: "pan", at };
    } else if (!this.hidden) {
      const edges = event.shiftKey ? "" : this.handle(at);
      const hit = event.shiftKey ? -1 : this.boxes.at(start);
      this.boxes.begin();
      if (edges) this.drag = { mode: "resize", edges, start, from: [...this.boxes.current] };
      else if (hit >= 0) {
        this.boxes.selected = hit;
        this.drag = { mode: "move", start, from: [...this.boxes.current] };
      } else {
        this.boxes.selected = -1;
        this.drag = { mode: "draw", at, start };
      }
    }
    this.draw();
  }

  moved(event) {
    const at = this.where(event);
    const now = this.view.toPicture(at);
    this.pointer = at;
    const drag = this.drag;
    if (!drag) return this.point(at, now);
    if (drag.mode === "pan") {
      this.view.pan(at[0] - drag.at[0], at[1] - drag.at[1]);
      drag.at = at;
      return this.draw();
    }
    const [dx, dy] = [now[0] - drag.start[0], now[1] - drag.start[1]];
    if (drag.mode === "draw") {
      // A click is no box: five screen pixels are.
      if (Math.hypot(at[0] - drag.at[0], at[1] - drag.at[1]) < 5) return;
      this.boxes.add(...drag.start, ...now);
      this.drag = { mode: "corner", start: drag.start };
    } else if (drag.mode === "corner") {
      this.boxes.set([...drag.start, ...now]);
    } else if (dx || dy) {
      if (drag.mode === "move") this.boxes.move(dx, dy, drag.from);
      else this.boxes.resize(drag.edges, dx, dy, drag.from);
    }
    this.draw();
  }

  release() {
    const drag = this.drag;
    this.drag = null;
    if (drag && drag.mode !== "pan") this.boxes.commit();
    this.draw();
  }

  point(at, now) {
    const edges = this.handle(at);
    const over = !this.hidden && this.boxes.at(now) >= 0;
    const cursor = edges ? `${CURSORS[edges]}-resize` : over ? "move" : "crosshair";
    this.canvas.style.cursor = this.space ? "grab" : cursor;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * 0.0015), this.where(event));
    this.draw();
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.view.area;
    const [canvas, context] = [this.canvas, this.context];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.image) return;
    const [left, top] = this.view.toScreen([0, 0]);
    const [right, bottom] = this.view.toScreen(this.view.size);
    context.imageSmoothingEnabled = this.view.scale < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, left, top, right - left, bottom - top);
    if (!this.hidden) this.boxes.rows.forEach((row, i) => this.drawBox(row, i));
    this.drawn();
  }

  drawBox(row, index) {
    const context = this.context;
    const [left, top] = this.view.toScreen([row[0], row[1]]);
    const [right, bottom] = this.view.toScreen([row[2], row[3]]);
    const [width, height] = [right - left, bottom - top];
    const selected = index === this.boxes.selected;
    context.lineWidth = selected ? 5 : 4;
    context.strokeStyle = COLOURS.halo;
    context.strokeRect(left, top, width, height);
    context.lineWidth = selected ? 2.5 : 2;
    context.strokeStyle = selected ? "#fff" : colour(row);
    context.setLineDash(row[4] < 1 && !selected ? [7, 5] : []);
    context.strokeRect(left, top, width, height);
    context.setLineDash([]);
    const text = row[4] < 1 ? `${index + 1} · ${Math.round(row[4] * 100)} %` : `${index + 1}`;
    context.font = "600 12px system-ui, sans-serif";
    const wide = context.measureText(text).width + 10;
    const y = top >= 20 ? top - 19 : Math.max(top + 3, 3);
    context.fillStyle = colour(row);
    context.beginPath();
    context.roundRect(Math.max(left - 1, 3), y, wide, 17, 4);
    context.fill();
    context.fillStyle = "#10211f";
    context.fillText(text, Math.max(left - 1, 3) + 5, y + 12.5);
    if (!selected) return;
    for (const x of [left, (left + right) / 2, right]) {
      for (const z of [top, (top + bottom) / 2, bottom]) {
        if (x === (left + right) / 2 && z === (top + bottom) / 2) continue;
        context.fillStyle = "#fff";
        context.strokeStyle = COLOURS.halo;
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(x, z, 4.5, 0, 7);
        context.fill();
        context.stroke();
      }
    }
  }
}
