// Where the picture lies on the canvas: screen = offset + scale * picture.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.size = [1, 1];
    this.fitted = true;
    this.scale = 1;
    this.offset = [0, 0];
  }

  get area() {
    return [this.canvas.clientWidth, this.canvas.clientHeight];
  }

  open(width, height) {
    this.size = [width, height];
    this.fit();
  }

  fit() {
    this.show([0, 0, ...this.size], 18, 8);
    this.fitted = true;
  }

  // Bring a part of the picture (left, top, right, bottom) into the middle.
  show([left, top, right, bottom], margin, most) {
    const [width, height] = this.area;
    const room = [Math.max(20, width - 2 * margin), Math.max(20, height - 2 * margin)];
    this.scale = Math.min(room[0] / (right - left), room[1] / (bottom - top), most);
    this.offset = [
      width / 2 - (this.scale * (left + right)) / 2,
      height / 2 - (this.scale * (top + bottom)) / 2,
    ];
    this.fitted = false;
  }

  // Zoom so that the point of the screen keeps its pixel.
  zoom(factor, [x, y] = this.area.map((v) => v / 2)) {
    const scale = Math.min(40, Math.max(0.02, this.scale * factor));
    const ratio = scale / this.scale;
    this.offset = [x - (x - this.offset[0]) * ratio, y - (y - this.offset[1]) * ratio];
    this.scale = scale;
    this.fitted = false;
  }

  pan(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.fitted = false;
  }

  toPicture([x, y]) {
    return [(x - this.offset[0]) / this.scale, (y - this.offset[1]) / this.scale];
  }

  toScreen([x, y]) {
    return [this.offset[0] + x * this.scale, this.offset[1] + y * this.scale];
  }
}
