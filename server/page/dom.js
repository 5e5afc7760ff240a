// Building elements, and telling the reader of a screen what has changed.

/**
 * Make an element. Attributes: `on...` functions are listeners, true and false are present and absent, and names of
 * properties that have no attribute of the same meaning (`value`, `checked`, `textContent`) are set as properties.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (["value", "checked", "textContent", "htmlFor"].includes(name)) element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A picture of `icons.svg`; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const find = (selector) => document.querySelector(selector);

/** Say something to screen readers; nothing is shown. */
export function say(text) {
  const place = find("#said");
  if (place.textContent !== text) place.textContent = text;
}

/** A button that is a picture, with a name. */
export function iconButton(name, label, onclick, more = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...more }, icon(name));
}
