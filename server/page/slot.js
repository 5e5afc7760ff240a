// A place for one of the two pictures: choose, drop, replace, clear.

import { h, icon, iconButton } from "/page/dom.js";

const TEXTS = {
  content: { title: "Photo", choose: "Choose a photo", hint: "what the picture shows", icon: "photo" },
  style: { title: "Painting", choose: "Choose a painting", hint: "how it is painted", icon: "brush" },
};

/** `<picture-slot name="content|style">`. Dispatches `chosen` (detail: a File), `cleared` and `keep`. */
class PictureSlot extends HTMLElement {
  connectedCallback() {
    this.name = this.getAttribute("name");
    const texts = TEXTS[this.name];
    this.input = h("input", { type: "file", accept: "image/*,.tif,.tiff", hidden: true, onchange: () => this.#choose() });
    this.button = h("button", { type: "button", class: "slot-button", onclick: () => this.input.click() });
    this.actions = h("div", { class: "slot-actions" });
    this.append(h("h3", { class: "slot-title" }, texts.title), h("div", { class: "slot-frame" }, this.button, this.actions), this.input);
    this.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.classList.add("is-over");
    });
    for (const kind of ["dragleave", "drop"]) this.addEventListener(kind, () => this.classList.remove("is-over"));
    this.show(null);
  }

  /** Open the browser's dialog for files. */
  choose() {
    this.input.click();
  }

  show(picture) {
    const texts = TEXTS[this.name];
    this.classList.toggle("is-filled", Boolean(picture));
    if (!picture) {
      this.button.replaceChildren(icon(texts.icon), h("span", { class: "slot-choose" }, texts.choose), h("span", { class: "faint" }, texts.hint));
      this.actions.replaceChildren();
      return;
    }
    const name = h("span", { class: "slot-name" }, picture.name);
    const shown = picture.width ? h("img", { src: picture.url, alt: "" }) : icon(texts.icon);
    this.button.replaceChildren(shown, h("span", { class: "visually-hidden" }, `Replace the ${texts.title.toLowerCase()}: `), name);
    const clear = iconButton("close", `Remove the ${texts.title.toLowerCase()}`, () => {
      this.dispatchEvent(new Event("cleared"));
      this.button.focus();
    });
    const keep = this.name === "style" && iconButton("keep", "Keep this painting among the styles", () => this.dispatchEvent(new Event("keep")));
    this.actions.replaceChildren(...[keep, clear].filter(Boolean));
  }

  #choose() {
    const [file] = this.input.files;
    this.input.value = "";
    if (file) this.dispatchEvent(new CustomEvent("chosen", { detail: file }));
  }
}

customElements.define("picture-slot", PictureSlot);
