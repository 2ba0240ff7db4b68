"use strict";
// Makes watermarked icons on the visitor's own device: RUNTIME and MODEL come in
// scripts, so that the page works from a folder, too, and nothing is sent.

const part = (id) => document.getElementById(id);
const about = MODEL.about;
const [width, height] = about.image_size;
const scale = about.scale;

async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function open() {
  const glue = new Blob([await unpacked(RUNTIME.glue)], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1; // more need headers that a static host may lack
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  ort.env.wasm.wasmBinary = await unpacked(RUNTIME.wasm);
  const graph = await unpacked(MODEL.graph);
  const options = { executionProviders: ["wasm"] };
  const mark = new Float32Array((await unpacked(MODEL.mark)).buffer);
  return [await ort.InferenceSession.create(graph, options), mark];
}

// mulberry32, then Box and Muller: the same seed gives the same icon on every device.
function drawNoise(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
  const noise = new Float32Array(width * height * about.channels);
  return noise.map(
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

// One number for each value, 1 where it is wished.
function encode(wishes) {
  return Float32Array.from(
    Object.entries(about.attributes).flatMap(([name, values]) =>
      values.map((value) => (wishes[name] === value ? 1 : 0)),
    ),
  );
}

async function sample(session, noise, wishes) {
  const { channels } = about;
  const feeds = { noise: new ort.Tensor("float32", noise, [1, height, width, channels]) };
  const vector = encode(wishes);
  if (vector.length) {
    feeds.attributes = new ort.Tensor("float32", vector, [1, vector.length]);
    if (!about.guidance_built_in) {
      feeds.guidance = new ort.Tensor("float32", [about.guidance], [1]);
    }
  }
  return (await session.run(feeds)).icons.data;
}

// RGB, each pixel repeated, so that the watermark has room.
function enlarged(icon) {
  const w = width * scale;
  const rgb = new Uint8ClampedArray(w * height * scale * 3);
  for (let i = 0; i < rgb.length; i++) {
    const x = Math.floor(i / 3) % w;
    const y = Math.floor(i / 3 / w);
    const pixel = Math.floor(y / scale) * width + Math.floor(x / scale);
    rgb[i] = icon[pixel * about.channels + (about.channels === 1 ? 0 : i % 3)];
  }
  return rgb;
}

// Dark on light areas and light on dark ones, by the mean of a square around.
function marked(rgb, mark) {
  const [w, h, reach] = [width * scale, height * scale, about.reach];
  const grey = new Float64Array(w * h);
  for (let i = 0; i < w * h; i++) {
    grey[i] = (rgb[3 * i] + rgb[3 * i + 1] + rgb[3 * i + 2]) / 3;
  }
  const along = (from, step, line, n, other) => {
    const out = new Float64Array(w * h);
    for (let row = 0; row < other; row++) {
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let k = i - reach; k <= i + reach; k++) {
          sum += from[row * line + Math.min(n - 1, Math.max(0, k)) * step];
        }
        out[row * line + i * step] = sum / (2 * reach + 1);
      }
    }
    return out;
  };
  const means = along(along(grey, 1, w, w, h), w, 1, h, w);
  return rgb.map((value, i) => {
    const pixel = Math.floor(i / 3);
    const ink = means[pixel] > 127.5 ? 0 : 255;
    return Math.round(value + mark[pixel] * (ink - value));
  });
}

// The PNG with a note of where it comes from, as `illust-diffusion sample` writes it.
function noted(png) {
  const text = new TextEncoder().encode(`iTXtDescription\0\0\0\0\0${about.watermark}`);
  const chunk = new Uint8Array(text.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, text.length - 4);
  chunk.set(text, 4);
  let crc = -1;
  for (const byte of text) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  view.setUint32(text.length + 4, ~crc >>> 0);
  const head = 33; // signature and IHDR
  return new Blob([png.slice(0, head), chunk, png.slice(head)], { type: "image/png" });
}

async function show(rgb) {
  const canvas = part("canvas");
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const data = new ImageData(canvas.width, canvas.height);
  data.data.fill(255);
  for (let i = 0; i < rgb.length; i++) data.data[4 * Math.floor(i / 3) + (i % 3)] = rgb[i];
  canvas.getContext("2d").putImageData(data, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done));
  const png = new Uint8Array(await blob.arrayBuffer());
  return about.watermark ? noted(png) : blob;
}

let opened;
async function makePixels(noise, wishes) {
  opened ??= open();
  const [session, mark] = await opened;
  const rgb = enlarged(await sample(session, noise, wishes));
  return about.watermark ? marked(rgb, mark) : rgb;
}

let address;
async function make() {
  const button = part("make");
  const seed = part("seed");
  if (part("renew").checked) seed.value = Math.floor(Math.random() * 10000);
  const number = Math.round(Math.min(9999, Math.max(0, Number(seed.value) || 0)));
  seed.value = number;
  button.disabled = true;
  part("caption").textContent = "Making…";
  // Two frames, so that the text is seen before the work begins.
  await new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
  const start = performance.now();
  try {
    const blob = await show(await makePixels(drawNoise(number), wished()));
    const seconds = (performance.now() - start) / 1000;
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(blob);
    Object.assign(part("save"), { href: address, download: `icon-${number}.png` });
    part("save").hidden = false;
    part("canvas").setAttribute("aria-label", `Icon of seed ${number}`);
    part("caption").textContent = `Seed ${number}, ${seconds.toFixed(1)} s`;
  } catch (error) {
    part("caption").textContent = `No icon: ${error.message}`;
  }
  button.disabled = false;
  button.focus();
}

addWishes(about.attributes);
part("note").textContent =
  `${width} by ${height} pixels, made on this device: nothing is sent.` +
  (about.watermark ? ` Each icon bears the watermark “${about.watermark}”.` : "");
part("make").addEventListener("click", make);
opened = open();
opened.then(
  () => {
    part("caption").textContent = "Ready";
    part("make").disabled = false;
  },
  (error) => {
    part("caption").textContent = `This browser cannot run the model: ${error.message}`;
  },
);
