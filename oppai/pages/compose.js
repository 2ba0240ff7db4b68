// The result, composed anew from what the server predicted, for each blend and feather.

const STEPS = 15; // levels of the distance to a pixel; 255 is beyond every feather

export class Prediction {
  // `stack`: ImageData with the predicted pixels above and their distances below;
  // `base`: ImageData of the whole view; `box`: where the prediction lies in it.
  constructor(stack, base, box) {
    this.box = box;
    const [left, top, right, bottom] = box;
    [this.width, this.height] = [right - left, bottom - top];
    this.stack = stack.data;
    this.base = base;
    this.canvas = new OffscreenCanvas(this.width, this.height);
    this.image = new ImageData(this.width, this.height);
    // Whether any rim fades: found regions end where their blocks do.
    this.fades = false;
    const half = this.width * this.height;
    for (let i = half; i < 2 * half && !this.fades; i++) {
      const level = this.stack[4 * i];
      this.fades = level > 0 && level < 255;
    }
  }

  // As `Prediction.compose` in Python, within a level.
  compose(blend, feather) {
    const { width, height, stack, base } = this;
    const [left, top] = this.box;
    const output = this.image.data;
    const weights = new Float32Array(256);
    for (let level = 0; level < 255; level++) {
      const weight = Math.min(1, Math.max(0, 1 - level / STEPS / (feather + 1)));
      weights[level] = (Math.round(255 * weight) / 255) * blend;
    }
    const half = 4 * width * height;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = 4 * (y * width + x);
        const j = 4 * ((y + top) * base.width + x + left);
        const weight = weights[stack[half + i]];
        for (let k = 0; k < 3; k++) {
          const given = base.data[j + k];
          output[i + k] = Math.round(given + weight * (stack[i + k] - given));
        }
        output[i + 3] = 255;
      }
    }
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }
}
