// The words of a page in English and Japanese, and which of the two is shown.

export class Words {
  // strings: {key: [English, Japanese]}; store: where the choice is remembered.
  constructor(store, strings) {
    [this.store, this.strings] = [store, strings];
    const japanese = navigator.language.startsWith("ja");
    this.language = localStorage.getItem(store) ?? (japanese ? "ja" : "en");
  }

  // {0}, {1} in a text stand for the values.
  say(key, ...values) {
    const text = this.strings[key][this.language === "ja" ? 1 : 0];
    return text.replace(/\{(\d)\}/g, (_, n) => values[n]);
  }

  choose(language) {
    this.language = language === "ja" ? "ja" : "en";
    localStorage.setItem(this.store, this.language);
    this.translate();
  }

  // `data-t` names the text of an element, `data-l` its label, `data-key` its key.
  translate(root = document) {
    document.documentElement.lang = this.language;
    for (const element of root.querySelectorAll("[data-t]")) {
      element.textContent = this.say(element.dataset.t);
      if (element.dataset.key) {
        const key = document.createElement("kbd");
        key.textContent = element.dataset.key;
        element.append(" ", key);
      }
    }
    for (const element of root.querySelectorAll("[data-l]")) {
      element.setAttribute("aria-label", this.say(element.dataset.l));
      if (element.matches("button")) element.title = this.say(element.dataset.l);
    }
  }
}
