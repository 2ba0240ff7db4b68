// Boxes of a picture: [left, top, right, bottom, confidence], and how they change.

const LEAST = 3; // pixels of the picture

export class Boxes {
  constructor(changed) {
    this.changed = changed; // called after every finished change, with the rows before
    this.open([], [1, 1]);
  }

  open(rows, size) {
    this.size = size;
    this.rows = rows.map((row) => [...row]);
    this.opened = this.before = JSON.stringify(this.rows);
    this.only(-1);
  }

  get current() {
    return this.rows[this.selected];
  }

  // Select one box, -1 for none. `also` holds the numbers of those selected beside it.
  only(index) {
    this.selected = index;
    this.also = new Set();
  }

  get chosen() {
    const all = new Set([...this.also, this.selected]);
    return this.rows.map((_, i) => i).filter((i) => all.has(i));
  }

  choose(indices) {
    this.only(indices.length ? indices[indices.length - 1] : -1);
    this.also = new Set(indices);
  }

  toggle(index) {
    const chosen = this.chosen;
    this.choose(chosen.includes(index) ? chosen.filter((i) => i !== index) : [...chosen, index]);
  }

  // Numbers and corners of the selected boxes, to move them from.
  get grip() {
    return this.chosen.map((i) => [i, [...this.rows[i]]]);
  }

  // Keep the state before a change; `commit` tells the page when it is done.
  begin() {
    this.before = JSON.stringify(this.rows);
  }

  commit() {
    this.rows = this.rows.filter((row) => row[2] - row[0] >= 1 && row[3] - row[1] >= 1);
    if (this.selected >= this.rows.length) this.only(-1);
    if (JSON.stringify(this.rows) !== this.before) this.changed(JSON.parse(this.before));
  }

  // Take back what was done since `begin`.
  cancel() {
    this.rows = JSON.parse(this.before);
    this.only(-1);
  }

  change(action) {
    this.begin();
    action();
    this.commit();
  }

  restore() {
    this.change(() => {
      this.rows = JSON.parse(this.opened);
      this.only(-1);
    });
  }

  add(left, top, right, bottom) {
    const corners = this.clip([left, top, right, bottom]);
    this.rows.push([...corners, 1]);
    this.only(this.rows.length - 1);
  }

  // A new box of the size of the others, or of a third of the picture.
  addAt([x, y]) {
    const sides = this.rows.map((row) => row[2] - row[0]).sort((a, b) => a - b);
    const side = sides.length ? sides[sides.length >> 1] : Math.min(...this.size) / 3;
    this.change(() => this.add(x - side / 2, y - side / 2, x + side / 2, y + side / 2));
  }

  // Boxes of another picture, those that lie in this one and are not here already.
  paste(rows) {
    const here = new Set(this.rows.map((row) => String(row.slice(0, 4))));
    const inside = ([left, top, right, bottom]) =>
      left < this.size[0] && top < this.size[1] && right > 0 && bottom > 0;
    const corners = rows.filter(inside).map((row) => this.clip(row));
    const added = corners.filter((row) => !here.has(String(row)));
    if (!added.length) return;
    this.change(() => {
      const first = this.rows.length;
      for (const row of added) this.add(...row);
      this.choose(added.map((_, i) => first + i));
    });
  }

  remove(indices = this.chosen) {
    if (!indices.length) return;
    this.change(() => {
      this.rows = this.rows.filter((_, i) => !indices.includes(i));
      this.only(Math.min(indices[0], this.rows.length - 1));
    });
  }

  // Select the next (1) or the former (-1) box; false, and none, past the last.
  select(step) {
    const first = step > 0 ? 0 : this.rows.length - 1;
    const next = this.selected < 0 ? first : this.selected + step;
    this.only(this.rows[next] ? next : -1);
    return this.selected >= 0;
  }

  // Select the next box as well, after the last the first.
  extend() {
    const next = (this.selected + 1) % this.rows.length;
    if (this.rows.length) this.choose([...this.chosen.filter((i) => i !== next), next]);
  }

  // Moving keeps sizes and distances: all stop where the first meets the border.
  move(dx, dy, from = this.grip) {
    let [x, y] = [dx, dy];
    for (const [, [left, top]] of from) [x, y] = [Math.max(x, -left), Math.max(y, -top)];
    for (const [, [, , right, bottom]] of from) {
      [x, y] = [Math.min(x, this.size[0] - right), Math.min(y, this.size[1] - bottom)];
    }
    for (const [i, [left, top, right, bottom]] of from) {
      this.set([left + x, top + y, right + x, bottom + y], i);
    }
  }

  // Edges: a string of n, e, s, w. Dragged past the other edge, the two change places.
  resize(edges, dx, dy, from = this.grip) {
    for (let [i, [left, top, right, bottom]] of from) {
      if (edges.includes("w")) left += dx;
      if (edges.includes("e")) right += dx;
      if (edges.includes("n")) top += dy;
      if (edges.includes("s")) bottom += dy;
      this.set([left, top, right, bottom], i);
    }
  }

  grow(factor) {
    for (const [i, [left, top, right, bottom]] of this.grip) {
      const dx = ((factor - 1) * (right - left)) / 2;
      const dy = ((factor - 1) * (bottom - top)) / 2;
      this.set([left - dx, top - dy, right + dx, bottom + dy], i);
    }
  }

  // What a person has touched is sure.
  set(corners, index = this.selected) {
    this.rows[index] = [...this.clip(corners), 1];
  }

  clip([a, b, c, d]) {
    const [width, height] = this.size;
    const bound = (v, most) => Math.min(Math.max(v, 0), most);
    let [left, right] = [bound(Math.min(a, c), width), bound(Math.max(a, c), width)];
    let [top, bottom] = [bound(Math.min(b, d), height), bound(Math.max(b, d), height)];
    const round = (v) => Math.round(v * 100) / 100;
    right = Math.max(right, Math.min(left + LEAST, width));
    bottom = Math.max(bottom, Math.min(top + LEAST, height));
    left = Math.min(left, Math.max(0, right - LEAST));
    top = Math.min(top, Math.max(0, bottom - LEAST));
    return [left, top, right, bottom].map(round);
  }

  // Boxes that lie in a rectangle, whole.
  within([left, top, right, bottom]) {
    const inside = (row) =>
      row[0] >= left && row[1] >= top && row[2] <= right && row[3] <= bottom;
    return this.rows.map((_, i) => i).filter((i) => inside(this.rows[i]));
  }

  // The smallest box over a point, so that one inside another can be reached.
  at([x, y]) {
    let best = -1;
    let least = Infinity;
    this.rows.forEach(([left, top, right, bottom], i) => {
      const area = (right - left) * (bottom - top);
      if (x >= left && x <= right && y >= top && y <= bottom && area < least) {
        [best, least] = [i, area];
      }
    });
    return best;
  }
}
