// Colours at points of the picture, drawn with the same strokes as a mask.

export class Hints {
  // points: [[x, y, "#rrggbb"], …] in pixels of the view; changed(): they differ.
  constructor(width, height, points, changed) {
    [this.width, this.height] = [width, height];
    this.points = points;
    this.changed = changed;
    this.colour = "#000000";
    this.past = [];
    this.future = [];
    this.before = null;
  }

  get isEmpty() {
    return !this.points.length;
  }

  begin() {
    this.before = this.points;
  }

  commit() {
    const { before } = this;
    this.before = null;
    if (before === this.points) return false;
    this.past.push(before);
    this.future = [];
    return true;
  }

  // Forget what changed since `begin`.
  cancel() {
    if (this.before) this.points = this.before;
    this.before = null;
    this.changed();
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return false;
    to.push(this.points);
    this.points = from.pop();
    this.changed();
    return true;
  }

  // Points along a line, two radii apart; without a value they are taken away. One that
  // is painted over gets the new colour.
  stroke([x0, y0], [x1, y1], radius, value) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0)));
    for (let i = 0; i <= steps; i++) {
      const [x, y] = [x0 + ((x1 - x0) * i) / steps, y0 + ((y1 - y0) * i) / steps];
      if (value) this.add(x, y, radius);
      else this.keep(([px, py]) => Math.hypot(px - x, py - y) > Math.max(radius, 6));
    }
    this.changed();
  }

  add(x, y, radius) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const far = ([px, py]) => Math.hypot(px - x, py - y);
    const near = this.points.filter((point) => far(point) < 2 * radius);
    if (near.some((point) => far(point) > radius || point[2] === this.colour)) return;
    this.keep((point) => !near.includes(point));
    this.points = [...this.points, [Math.round(10 * x) / 10, Math.round(10 * y) / 10, this.colour]];
  }

  keep(which) {
    const kept = this.points.filter(which);
    if (kept.length < this.points.length) this.points = kept;
  }

  clear() {
    this.keep(() => false);
    this.changed();
  }

  get file() {
    return new Blob([JSON.stringify(this.points)], { type: "application/json" });
  }
}
