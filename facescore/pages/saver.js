// Writes to the server: one after another, each kept until the server has taken it.

import { $, post } from "./common.js";

const AGAIN = 3000; // milliseconds to the next attempt

export class Saver {
  // saved(key, answer, body): the server took a write; changed(): another number waits.
  constructor(name, { saved, changed }) {
    this.name = name;
    this.saved = saved;
    this.changed = changed;
    this.waiting = new Map(); // key -> body; the newest of a key replaces the older
    this.running = Promise.resolve();
    this.busy = false;
    const banner = $("#unsaved");
    banner.querySelector("button").addEventListener("click", () => this.retry());
    addEventListener("beforeunload", (event) => {
      if (this.waiting.size) event.preventDefault();
    });
    addEventListener("online", () => this.retry());
  }

  // Writes that a page of this folder could not deliver are taken up again.
  recover(folder, key) {
    this.store = `facescore-${this.name}-${folder}`;
    this.identify = key;
    let rows = [];
    try {
      rows = JSON.parse(localStorage.getItem(this.store) || "[]");
    } catch {
      localStorage.removeItem(this.store);
    }
    return rows;
  }

  put(key, body) {
    this.waiting.set(key, JSON.parse(JSON.stringify(body)));
    this.keep();
    this.retry();
  }

  retry() {
    clearTimeout(this.timer);
    if (this.busy || !this.waiting.size) return;
    this.busy = true;
    this.running = this.write().finally(() => {
      this.busy = false;
      this.keep();
      if (this.waiting.size) this.timer = setTimeout(() => this.retry(), AGAIN);
    });
  }

  // A write that the server refuses waits, and does not hold up the others.
  async write() {
    const refused = new Map(); // body -> error
    for (;;) {
      const next = [...this.waiting].find(([, body]) => !refused.has(body));
      if (!next) break;
      const [key, body] = next;
      try {
        const answer = await post(this.name, body);
        if (this.waiting.get(key) === body) this.waiting.delete(key);
        this.saved(key, answer, body);
      } catch (error) {
        if (error.status !== 422) return this.report(error);
        refused.set(body, error);
      }
    }
    this.report(refused.size ? [...refused.values()].pop() : null);
  }

  report(error) {
    $("#unsaved").hidden = !error;
    if (error) {
      const n = this.waiting.size;
      const pictures = n === 1 ? "1 picture is" : `${n} pictures are`;
      $("#unsaved span").textContent = `${pictures} not saved yet. ${reason(error)}`;
    }
    this.changed();
  }

  keep() {
    if (!this.store) return;
    const rows = [...this.waiting].map(([key, body]) => [this.identify(key), body]);
    try {
      if (rows.length) localStorage.setItem(this.store, JSON.stringify(rows));
      else localStorage.removeItem(this.store);
    } catch {
      // A full or forbidden store: the page itself still holds them.
    }
  }
}

function reason(error) {
  const port = location.port;
  const again = `start the command again with --port ${port}`;
  if (error instanceof TypeError) return `The server does not answer: ${again}.`;
  if (error.status === 403) return "Open the address that the command printed now.";
  return error.message;
}
