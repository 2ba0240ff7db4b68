// The row of small pictures: only those in sight are made and fetched.

import { pictureUrl } from "./common.js";

const STEP = 86; // pixels from one cell to the next
const LEFT = 12;

export class Strip {
  constructor(element, chosen) {
    this.element = element;
    this.sheet = element.firstElementChild;
    this.chosen = chosen;
    this.cells = new Map();
    this.order = [];
    this.at = -1;
    element.addEventListener("scroll", () => this.later());
    new ResizeObserver(() => this.later()).observe(element);
    element.addEventListener(
      "wheel",
      (event) => {
        element.scrollLeft += event.deltaY + event.deltaX;
        event.preventDefault();
      },
      { passive: false },
    );
  }

  open(order, stateOf) {
    this.order = order;
    this.stateOf = stateOf;
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.sheet.style.width = `${order.length * STEP + 2 * LEFT}px`;
    this.later();
  }

  // Whoever came to the strip by Tab stays on the picture shown.
  go(at) {
    const inside = this.element.contains(document.activeElement);
    this.at = at;
    const middle = LEFT + at * STEP + STEP / 2;
    this.element.scrollLeft = middle - this.element.clientWidth / 2;
    this.refresh();
    if (inside) this.cells.get(at)?.focus({ preventScroll: true });
  }

  // Scrolling fast over thousands fetches nothing until it rests.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 60);
  }

  refresh() {
    const first = Math.floor((this.element.scrollLeft - LEFT) / STEP) - 1;
    const last = first + Math.ceil(this.element.clientWidth / STEP) + 2;
    for (const [at, cell] of this.cells) {
      if (at >= first && at <= last) continue;
      cell.querySelector("img").src = ""; // stops a fetch that is no longer wanted
      cell.remove();
      this.cells.delete(at);
    }
    for (let at = Math.max(0, first); at <= Math.min(last, this.order.length - 1); at++) {
      if (!this.cells.has(at)) this.cells.set(at, this.make(at));
      const cell = this.cells.get(at);
      cell.dataset.state = this.stateOf(this.order[at]);
      cell.classList.toggle("on", at === this.at);
      cell.tabIndex = at === this.at ? 0 : -1; // one stop of Tab; arrows go on from it
      if (at === this.at) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
    }
  }

  make(at) {
    const cell = document.createElement("button");
    cell.className = "cell";
    cell.setAttribute("aria-label", `Picture ${this.order[at] + 1}`);
    cell.style.left = `${LEFT + at * STEP}px`;
    const image = document.createElement("img");
    image.alt = "";
    image.addEventListener("error", () => (image.hidden = true));
    image.src = pictureUrl(this.order[at], 160);
    const number = document.createElement("b");
    number.textContent = this.order[at] + 1;
    cell.append(image, number, document.createElement("i"));
    cell.addEventListener("click", () => this.chosen(at));
    this.sheet.append(cell);
    return cell;
  }
}
