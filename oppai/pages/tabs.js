// The bar of tabs: one is chosen by a click, the arrow keys, Home and End.

export class Tabs {
  // bar: the element with role "tablist"; panel: the element that they all change;
  // chosen(name): another tab was chosen by hand.
  constructor(bar, panel, chosen) {
    [this.bar, this.panel, this.chosen] = [bar, panel, chosen];
    bar.addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (tab) this.take(tab);
    });
    bar.addEventListener("keydown", (event) => this.keyDown(event));
    new ResizeObserver(() => this.reveal()).observe(bar);
  }

  // A narrow bar scrolls to the tab that is shown.
  reveal() {
    const tab = this.bar.querySelector("[aria-selected=true]");
    tab?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  get tabs() {
    return [...this.bar.querySelectorAll("[role=tab]")];
  }

  // names: of the tabs; their words are those of `${name}Tab`.
  offer(names) {
    const tabs = names.map((name) => {
      const tab = document.createElement("button");
      tab.id = `tab-${name}`;
      tab.setAttribute("role", "tab");
      [tab.dataset.task, tab.dataset.t] = [name, `${name}Tab`];
      tab.setAttribute("aria-controls", this.panel.id);
      return tab;
    });
    this.bar.replaceChildren(...tabs);
    this.bar.hidden = tabs.length < 2;
  }

  show(name) {
    for (const tab of this.tabs) {
      const on = tab.dataset.task === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on) this.panel.setAttribute("aria-labelledby", tab.id);
    }
    this.reveal();
  }

  take(tab) {
    tab.focus();
    if (tab.getAttribute("aria-selected") !== "true") this.chosen(tab.dataset.task);
  }

  keyDown(event) {
    const { tabs } = this;
    const at = tabs.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.take(tabs[(to + tabs.length) % tabs.length]);
  }
}
