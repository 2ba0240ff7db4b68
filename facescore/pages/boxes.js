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
    this.opened = JSON.stringify(this.rows);
    this.selected = -1;
  }

  get current() {
    return this.rows[this.selected];
  }

  // Keep the state before a change; `commit` tells the page when it is done.
  begin() {
    this.before = JSON.stringify(this.rows);
  }

  commit() {
    this.rows = this.rows.filter((row) => row[2] - row[0] >= 1 && row[3] - row[1] >= 1);
    if (this.selected >= this.rows.length) this.selected = -1;
    if (JSON.stringify(this.rows) !== this.before) this.changed(JSON.parse(this.before));
  }

  change(action) {
    this.begin();
    action();
    this.commit();
  }

  restore() {
    this.change(() => {
      this.rows = JSON.parse(this.opened);
      this.selected = -1;
    });
  }

  add(left, top, right, bottom) {
    const corners = this.clip([left, top, right, bottom]);
    this.rows.push([...corners, 1]);
    this.selected = this.rows.length - 1;
  }

  // A new box of the size of the others, or of a third of the picture.
  addAt([x, y]) {
    const sides = this.rows.map((row) => row[2] - row[0]).sort((a, b) => a - b);
    const side = sides.length ? sides[sides.length >> 1] : Math.min(...this.size) / 3;
    this.change(() => this.add(x - side / 2, y - side / 2, x + side / 2, y + side / 2));
  }

  remove(index = this.selected) {
    if (!this.rows[index]) return;
    this.change(() => {
      this.rows.splice(index, 1);
      this.selected = Math.min(index, this.rows.length - 1);
    });
  }

  // Select the next (1) or the former (-1) box; false, and none, past the last.
  select(step) {
    const first = step > 0 ? 0 : this.rows.length - 1;
    const next = this.selected < 0 ? first : this.selected + step;
    this.selected = this.rows[next] ? next : -1;
    return this.selected >= 0;
  }

  // Moving keeps the size: the box stops at the border.
  move(dx, dy, from = this.current) {
    const [left, top, right, bottom] = from;
    const x = Math.min(Math.max(dx, -left), this.size[0] - right);
    const y = Math.min(Math.max(dy, -top), this.size[1] - bottom);
    this.set([left + x, top + y, right + x, bottom + y]);
  }

  // Edges: a string of n, e, s, w. Dragged past the other edge, the two change places.
  resize(edges, dx, dy, from = this.current) {
    let [left, top, right, bottom] = from;
    if (edges.includes("w")) left += dx;
    if (edges.includes("e")) right += dx;
    if (edges.includes("n")) top += dy;
    if (edges.includes("s")) bottom += dy;
    this.set([left, top, right, bottom]);
  }

  grow(factor) {
    const [left, top, right, bottom] = this.current;
    const dx = ((factor - 1) * (right - left)) / 2;
    const dy = ((factor - 1) * (bottom - top)) / 2;
    this.set([left - dx, top - dy, right + dx, bottom + dy]);
  }

  // What a person has touched is sure.
  set(corners) {
    this.rows[this.selected] = [...this.clip(corners), 1];
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
