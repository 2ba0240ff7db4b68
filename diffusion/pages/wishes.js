"use strict";
// The drop-downs of what an icon shall show: one for each attribute of the model.

function label(name) {
  return name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
}

function addWishes(attributes, any = "any") {
  Object.entries(attributes).forEach(([name, values], number) => {
    const place = document.createElement("div");
    const text = document.createElement("label");
    const select = document.createElement("select");
    select.id = `wish-${number}`;
    select.name = name;
    text.htmlFor = select.id;
    text.textContent = label(name);
    for (const value of ["", ...values]) select.append(new Option(value || any, value));
    place.append(text, select);
    document.getElementById("wishes").append(place);
  });
}

function wished() {
  const selects = document.getElementById("wishes").querySelectorAll("select");
  return Object.fromEntries([...selects].map((each) => [each.name, each.value]));
}
