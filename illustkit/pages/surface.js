// A canvas with a picture that a mouse, a pen or fingers move, zoom and draw upon.

import { View } from "./view.js";

// A subclass has `press`, `moved`, `release` and `draw`, and calls `listen` when it is
// ready; `paint` draws what a pointer alone changes.
export class Surface {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.view = new View(canvas);
    this.pointer = null; // where the mouse is on the screen
    this.space = false; // held down: a drag moves the picture
    this.drag = null;
    this.touches = new Map(); // pointer -> where a finger is
  }

  listen() {
    new ResizeObserver(() => {
      if (this.view.fitted) this.view.fit();
      this.draw();
    }).observe(this.canvas);
    this.on("pointerdown", (event) => this.press(event));
    this.on("pointermove", (event) => this.moved(event));
    this.on("pointerup", (event) => this.release(event));
    this.on("pointercancel", (event) => this.release(event));
    this.on("pointerleave", () => {
      this.pointer = null;
      this.paint();
    });
    this.on("wheel", (event) => this.wheel(event));
    this.on("contextmenu", (event) => event.preventDefault());
  }

  on(name, action) {
    this.canvas.addEventListener(name, action, { passive: false });
  }

  paint() {
    this.draw();
  }

  where(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  // Two fingers move the picture and zoom it between them.
  pinch(pointer, at) {
    if (!this.touches.has(pointer) || this.touches.size < 2) return;
    const middle = ([p, q]) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
    const apart = ([p, q]) => Math.max(1, Math.hypot(p[0] - q[0], p[1] - q[1]));
    const before = [...this.touches.values()];
    this.touches.set(pointer, at);
    const now = [...this.touches.values()];
    const [[x, y], [z, w]] = [middle(before), middle(now)];
    this.view.pan(z - x, w - y);
    this.view.zoom(apart(now) / apart(before), [z, w]);
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * 0.0015), this.where(event));
    this.draw();
  }

  // Empty the canvas, with as many pixels as the screen has; returns its sides in CSS
  // pixels.
  clear() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.view.area;
    const { canvas, context } = this;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = this.view.scale < 3;
    context.imageSmoothingQuality = "high";
    return [width, height];
  }
}
