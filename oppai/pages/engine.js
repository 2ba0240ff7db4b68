// What the page asks of the server. A server that is gone is waited for, and one that
// was started again is given the picture once more.

import { file, get, post, renewToken, upload } from "./server.js";

const AGAIN = 1500; // milliseconds to the next attempt

let jobs = 0;

export class Engine {
  // lost(""), lost("gone"), lost("token"): whether the server answers.
  // stage({stage, done, total}): how far the running step is.
  constructor(lost, stage) {
    this.lost = lost;
    this.stage = stage;
  }

  start() {
    return this.insist(() => get("start"));
  }

  async bytes(index) {
    return this.insist(() => file("original", String(index)));
  }

  // Returns sizes and format; the item then has the picture's number.
  open(item, signal) {
    return this.insist(() => this.take(item, signal), signal);
  }

  async take(item, signal) {
    const response = await upload("picture", item.blob, { name: item.name }, signal);
    const told = await response.json();
    item.id = told.id;
    return told;
  }

  view(item, signal) {
    return this.about(item, () => file("view", item.id), signal);
  }

  async find(item, signal) {
    const told = await this.work(item, "find", new Blob(), {}, signal, (response) => response.json());
    const labels = await this.about(item, () => file("found", item.id), signal);
    return { ...told, labels };
  }

  // given: the mask or the hints; style: the picture of the style, or null.
  // Returns { nothing } or { stack, box, notes }.
  predict(item, given, texts, signal, style = null) {
    const read = async (response) => {
      const told = response.headers.get("X-Answer");
      if (!told) return response.json();
      return { stack: await response.blob(), ...JSON.parse(told) };
    };
    return this.work(item, "predict", given, texts, signal, read, style);
  }

  // Returns { blob, name }, or { path } with `save` among the texts.
  result(item, given, texts, signal, style = null) {
    const read = async (response) => {
      if ("save" in texts) return response.json();
      const told = response.headers.get("Content-Disposition");
      return { blob: await response.blob(), name: decodeURIComponent(told.split("''")[1]) };
    };
    return this.work(item, "result", given, texts, signal, read, style);
  }

  // A step that takes a while: its progress is asked for, and it ends with the signal.
  async work(item, name, bytes, texts, signal, read, style = null) {
    const random = crypto.getRandomValues(new Uint16Array(1))[0] % 50000;
    const job = 1 + random * 10000 + (jobs++ % 10000); // apart from those of other pages
    const asking = setInterval(async () => {
      const told = await get("progress", { job }).catch(() => null);
      if (told?.stage) this.stage(told);
    }, 400);
    const end = () => post("cancel", { job }).catch(() => {});
    signal?.addEventListener("abort", end);
    const ask = async () => {
      const more = style ? { style: style.id } : {};
      return read(await upload(name, bytes, { ...texts, ...more, id: item.id, job }, signal));
    };
    try {
      return await this.about(item, ask, signal, style);
    } finally {
      clearInterval(asking);
      signal?.removeEventListener("abort", end);
    }
  }

  about(item, action, signal, style = null) {
    return this.insist(async () => {
      if (!item.id) await this.take(item, signal);
      if (style && !style.id) await this.take(style, signal);
      try {
        return await action();
      } catch (error) {
        if (error.status !== 410) throw error;
        await this.take(item, signal);
        if (style) await this.take(style, signal);
        return action();
      }
    }, signal);
  }

  async insist(action, signal) {
    for (;;) {
      try {
        const value = await action();
        this.lost("");
        return value;
      } catch (error) {
        if (signal?.aborted) throw error;
        if (error.status === 403 && (await renewToken())) continue;
        if (!error.lost && error.status !== 403) {
          this.lost("");
          throw error;
        }
        this.lost(error.lost ? "gone" : "token");
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
        if (signal?.aborted) throw error;
      }
    }
  }
}
