// The mask: a byte for each pixel of the view, changed by tools, step by step.

const MOST_KEPT = 96e6; // bytes of steps that can be undone

export class Mask {
  // changed([left, top, right, bottom]): pixels of this part may differ.
  constructor(width, height, changed) {
    [this.width, this.height] = [width, height];
    this.data = new Uint8Array(width * height);
    this.changed = changed;
    this.past = [];
    this.future = [];
    this.before = null;
    this.dirty = null;
  }

  get isEmpty() {
    return !this.data.includes(255);
  }

  begin() {
    this.before = this.data.slice();
    this.dirty = null;
  }

  // Keep what changed since `begin` as one step.
  commit() {
    const { before, dirty } = this;
    this.before = null;
    if (!dirty) return false;
    const step = { part: dirty, old: this.cut(before, dirty), now: this.cut(this.data, dirty) };
    if (step.old.every((value, i) => value === step.now[i])) return false;
    this.past.push(step);
    this.future = [];
    let kept = 0;
    for (let i = this.past.length - 1; i >= 0; i--) {
      kept += 2 * this.past[i].old.length;
      if (kept > MOST_KEPT && i < this.past.length - 1) {
        this.past.splice(0, i + 1);
        break;
      }
    }
    return true;
  }

  // Forget what changed since `begin`.
  cancel() {
    if (!this.before) return;
    this.data = this.before;
    this.before = null;
    if (this.dirty) this.changed(this.dirty);
  }

  undo() {
    return this.step(this.past, this.future, "old");
  }

  redo() {
    return this.step(this.future, this.past, "now");
  }

  step(from, to, side) {
    const step = from.pop();
    if (!step) return false;
    const [left, top, right, bottom] = step.part;
    const width = right - left;
    for (let y = top; y < bottom; y++) {
      const row = step[side].subarray((y - top) * width, (y - top + 1) * width);
      this.data.set(row, y * this.width + left);
    }
    to.push(step);
    this.changed(step.part);
    return true;
  }

  cut(data, [left, top, right, bottom]) {
    const width = right - left;
    const part = new Uint8Array(width * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const start = y * this.width + left;
      part.set(data.subarray(start, start + width), (y - top) * width);
    }
    return part;
  }

  // Clip a part to the picture, and note that it changes.
  touch(left, top, right, bottom) {
    const part = [
      Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)),
      Math.min(this.width, Math.ceil(right)), Math.min(this.height, Math.ceil(bottom)),
    ];
    if (part[0] >= part[2] || part[1] >= part[3]) return null;
    const d = this.dirty;
    this.dirty = d
      ? [Math.min(d[0], part[0]), Math.min(d[1], part[1]), Math.max(d[2], part[2]), Math.max(d[3], part[3])]
      : part;
    return part;
  }

  // All pixels whose centre is within `radius` of the line between two points.
  stroke([x0, y0], [x1, y1], radius, value) {
    const part = this.touch(
      Math.min(x0, x1) - radius, Math.min(y0, y1) - radius,
      Math.max(x0, x1) + radius + 1, Math.max(y0, y1) + radius + 1,
    );
    if (!part) return;
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy || 1;
    for (let y = part[1]; y < part[3]; y++) {
      for (let x = part[0]; x < part[2]; x++) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        const [ex, ey] = [px - along * dx, py - along * dy];
        if (ex * ex + ey * ey <= radius * radius) this.data[y * this.width + x] = value;
      }
    }
    this.changed(part);
  }

  box([x0, y0], [x1, y1], value) {
    const part = this.touch(
      Math.round(Math.min(x0, x1)), Math.round(Math.min(y0, y1)),
      Math.round(Math.max(x0, x1)), Math.round(Math.max(y0, y1)),
    );
    if (!part) return;
    for (let y = part[1]; y < part[3]; y++) {
      this.data.fill(value, y * this.width + part[0], y * this.width + part[2]);
    }
    this.changed(part);
  }

  // Pixels of the colour at a point: those that touch it, or all of the picture.
  colour(pixels, [x, y], tolerance, everywhere, value) {
    [x, y] = [Math.floor(x), Math.floor(y)];
    const { width, height, data } = this;
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const first = y * width + x;
    const wanted = [0, 1, 2].map((k) => pixels[4 * first + k]);
    const alike = (i) => {
      for (let k = 0; k < 3; k++) {
        if (Math.abs(pixels[4 * i + k] - wanted[k]) > tolerance) return false;
      }
      return true;
    };
    let part = [width, height, 0, 0];
    const mark = (i) => {
      const [px, py] = [i % width, Math.floor(i / width)];
      part = [Math.min(part[0], px), Math.min(part[1], py), Math.max(part[2], px + 1), Math.max(part[3], py + 1)];
      data[i] = value;
    };
    if (everywhere) {
      for (let i = 0; i < data.length; i++) if (alike(i)) mark(i);
    } else {
      const seen = new Uint8Array(data.length);
      const waiting = [first];
      seen[first] = 1;
      while (waiting.length) {
        const i = waiting.pop();
        mark(i);
        const px = i % width;
        for (const next of [px > 0 ? i - 1 : -1, px < width - 1 ? i + 1 : -1, i - width, i + width]) {
          if (next < 0 || next >= data.length || seen[next]) continue;
          seen[next] = 1;
          if (alike(next)) waiting.push(next);
        }
      }
    }
    this.touch(...part);
    this.changed(part);
  }

  // Set all pixels by a function of their place and value.
  all(value) {
    for (let i = 0; i < this.data.length; i++) this.data[i] = value(i, this.data[i]);
    this.changed(this.touch(0, 0, this.width, this.height));
  }
}

// The mask as a PNG, white where it is hidden.
export async function maskFile(data, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  for (let i = 0; i < data.length; i++) {
    image.data[4 * i] = image.data[4 * i + 1] = image.data[4 * i + 2] = data[i];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

// The pixels of a picture file, RGBA, without any conversion of colours.
export async function pixelsOf(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
