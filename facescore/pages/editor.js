// The canvas: draws the picture and its boxes, and turns the mouse into changes.

import { Boxes } from "./boxes.js";
import { Surface } from "./surface.js";

const REACH = 9; // screen pixels round a handle
const COLOURS = { sure: "#2cc4b2", unsure: "#f5b13d", other: "#b9c0cc", halo: "rgb(0 0 0 / .55)" };
const CURSORS = { nw: "nwse", se: "nwse", ne: "nesw", sw: "nesw", n: "ns", s: "ns", e: "ew", w: "ew" };

export const colour = (row) => (row[4] < 1 ? COLOURS.unsure : COLOURS.sure);

export class Editor extends Surface {
  // changed(): boxes were changed; drawn(): anything was drawn anew.
  constructor(canvas, { changed, drawn }) {
    super(canvas);
    this.boxes = new Boxes((before) => {
      this.draw();
      changed(before);
    });
    this.drawn = drawn;
    this.image = null;
    this.others = [];
    this.hidden = false;
    this.lens = false; // held down: a drag zooms to what it covers
    this.crosshair = true;
    this.listen();
    this.on("dblclick", () => this.toggleFit());
  }

  // `others`: [left, top, right, bottom, name] of other classes, which nothing changes.
  open(image, rows, size, others = []) {
    this.drag = null;
    this.image = image;
    this.others = others;
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

  // Edges of the selected box within reach of a point of the screen, as "nw".
  handle([x, y]) {
    const box = this.boxes.current;
    if (!box || this.hidden || this.boxes.chosen.length > 1) return "";
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
    if (event.pointerType === "touch") this.touches.set(event.pointerId, at);
    if (this.touches.size === 2) {
      if (this.drag) this.boxes.cancel(); // what the first finger began was no box
      this.drag = { mode: "pinch" };
      return this.draw();
    }
    if (event.button === 2) {
      const hit = this.boxes.at(start);
      if (!this.hidden && hit >= 0) this.boxes.remove([hit]);
      return this.draw();
    }
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || this.space) {
      this.drag = { mode: "pan", at };
    } else if (this.lens) {
      this.drag = { mode: "zoom", start };
    } else if (!this.hidden) {
      const edges = event.shiftKey ? "" : this.handle(at);
      const hit = event.shiftKey ? -1 : this.boxes.at(start);
      this.boxes.begin();
      if (event.ctrlKey || event.metaKey) {
        if (hit >= 0) this.boxes.toggle(hit);
        else this.drag = { mode: "choose", start };
      } else if (edges) this.drag = { mode: "resize", edges, start, from: this.boxes.grip };
      else if (hit >= 0) {
        if (!this.boxes.chosen.includes(hit)) this.boxes.only(hit);
        this.drag = { mode: "move", start, from: this.boxes.grip };
      } else {
        this.boxes.only(-1);
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
    if (drag?.mode === "pinch") return this.pinch(event.pointerId, at);
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, at);
    if (!drag) return this.point(at, now);
    if (drag.mode === "zoom" || drag.mode === "choose") {
      drag.now = now;
      return this.paint();
    }
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

  release(event) {
    const drag = this.drag;
    this.drag = null;
    this.touches.delete(event.pointerId);
    if (drag?.mode === "zoom" || drag?.mode === "choose") {
      if (drag.now) this.cover(drag);
    } else if (drag && !["pan", "pinch"].includes(drag.mode)) this.boxes.commit();
    this.draw();
  }

  // What a drag over the picture covered is zoomed to, or its boxes are selected.
  cover({ mode, start, now }) {
    const part = [0, 1].map((k) => Math.min(start[k], now[k]));
    part.push(...[0, 1].map((k) => Math.max(start[k], now[k])));
    if (mode === "choose") this.boxes.choose(this.boxes.within(part));
    else if (part[2] - part[0] >= 1 && part[3] - part[1] >= 1) this.view.show(part, 18, 40);
  }

  point(at, now) {
    const edges = this.handle(at);
    const over = !this.hidden && this.boxes.at(now) >= 0;
    const cursor = edges ? `${CURSORS[edges]}-resize` : over ? "move" : "crosshair";
    this.canvas.style.cursor = this.space ? "grab" : this.lens ? "zoom-in" : cursor;
    if (this.crosshair) this.paint();
  }

  draw() {
    this.paint();
    if (this.image) this.drawn();
  }

  paint() {
    const { context } = this;
    const [width, height] = this.clear();
    if (!this.image) return;
    const [left, top] = this.view.toScreen([0, 0]);
    const [right, bottom] = this.view.toScreen(this.view.size);
    context.drawImage(this.image, left, top, right - left, bottom - top);
    if (!this.hidden) {
      for (const other of this.others) this.drawOther(other);
      this.boxes.rows.forEach((row, i) => this.drawBox(row, i));
    }
    if (this.drag?.now) {
      const [[x, y], [z, w]] = [this.drag.start, this.drag.now].map((p) => this.view.toScreen(p));
      this.stroke([5, 4], () => context.rect(x, y, z - x, w - y));
    } else if (this.crosshair && this.pointer && !this.space) {
      const [x, y] = this.pointer.map((v) => Math.round(v) + 0.5);
      this.stroke([], () => {
        context.moveTo(x, 0);
        context.lineTo(x, height);
        context.moveTo(0, y);
        context.lineTo(width, y);
      });
    }
  }

  // A thin line that shows on bright and dark pictures.
  stroke(dashes, path) {
    const context = this.context;
    context.beginPath();
    path();
    context.lineWidth = 3;
    context.strokeStyle = "rgb(0 0 0 / .3)";
    context.stroke();
    context.setLineDash(dashes);
    context.lineWidth = 1;
    context.strokeStyle = "rgb(255 255 255 / .9)";
    context.stroke();
    context.setLineDash([]);
  }

  // Left, top, width and height on the screen.
  frame(row) {
    const [left, top] = this.view.toScreen([row[0], row[1]]);
    const [right, bottom] = this.view.toScreen([row[2], row[3]]);
    return [left, top, right - left, bottom - top];
  }

  // Thin and dotted, its name inside, so that it is never taken for a face.
  drawOther(row) {
    const [left, top, width, height] = this.frame(row);
    this.stroke([2, 4], () => this.context.rect(left, top, width, height));
    this.tag(row[4], left + 2, top + 2, COLOURS.other);
  }

  tag(text, left, top, ground) {
    const context = this.context;
    context.font = "600 12px system-ui, sans-serif";
    context.fillStyle = ground;
    context.beginPath();
    context.roundRect(left, top, context.measureText(text).width + 10, 17, 4);
    context.fill();
    context.fillStyle = "#10211f";
    context.fillText(text, left + 5, top + 12.5);
  }

  drawBox(row, index) {
    const context = this.context;
    const [left, top, width, height] = this.frame(row);
    const [right, bottom] = [left + width, top + height];
    const selected = this.boxes.chosen.includes(index);
    context.lineWidth = selected ? 5 : 4;
    context.strokeStyle = COLOURS.halo;
    context.strokeRect(left, top, width, height);
    context.lineWidth = selected ? 2.5 : 2;
    context.strokeStyle = selected ? "#fff" : colour(row);
    context.setLineDash(row[4] < 1 && !selected ? [7, 5] : []);
    context.strokeRect(left, top, width, height);
    context.setLineDash([]);
    // A small box has its number alone: a wide tag would hide its neighbours.
    const percent = row[4] < 1 && width >= 40 ? ` · ${Math.round(row[4] * 100)} %` : "";
    const text = `${index + 1}${percent}`;
    const y = top >= 20 ? top - 19 : Math.max(top + 3, 3);
    this.tag(text, Math.max(left - 1, 3), y, colour(row));
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
