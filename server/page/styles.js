// Paintings that the server keeps, and those that impasto ships.

import { erase, getBlob, getJson, post } from "/page/api.js";
import { h, icon, iconButton, say } from "/page/dom.js";
import { stem } from "/page/pictures.js";

export const EXAMPLES = { content: "harbour.jpg", styles: ["swirls.jpg", "mosaic.jpg", "woodcut.jpg"] };
export const example = (name) => `/page/examples/${name}`;
const POLL_MS = 2000;

/** `<style-gallery>`. Dispatches `choose` (detail: path and name) and `trouble` (detail: an error). */
class StyleGallery extends HTMLElement {
  connectedCallback() {
    this.urls = new Map();
    this.list = h("ul", { class: "cards small", role: "list" });
    this.append(this.list);
    this.show([]);
  }

  async reload() {
    try {
      const { styles } = await getJson("/v1/styles");
      this.show(styles);
      clearTimeout(this.timer);
      if (styles.some((style) => style.state === "pending")) this.timer = setTimeout(() => this.reload(), POLL_MS);
    } catch (error) {
      this.#trouble(error);
    }
  }

  /** Keep a painting with the settings of the form, so that jobs and other programs can name it by its id. */
  async keep(picture, form) {
    const body = new FormData();
    body.set("style", picture.blob, picture.name);
    body.set("settings", JSON.stringify({ preset: form.preset, ...form.changes }));
    body.set("network", form.best.name);
    try {
      await post("/v1/styles", body);
      say(`${stem(picture.name)} is among the styles.`);
      await this.reload();
    } catch (error) {
      this.#trouble(error);
    }
  }

  show(styles) {
    const kept = styles.map((style) => this.#card(style.name, style.links.image, style));
    const own = EXAMPLES.styles.map((name) => this.#card(name, example(name), null));
    const focused = this.list.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    this.list.replaceChildren(...kept, ...own);
    if (focused) [...this.list.querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === focused)?.focus();
  }

  #card(name, path, style) {
    const title = stem(name);
    const image = h("img", { alt: "", hidden: true });
    const choose = () => this.dispatchEvent(new CustomEvent("choose", { detail: { path, name } }));
    const open = h("button", { type: "button", class: "card-open", "aria-label": `Paint with ${title}`, onclick: choose }, image);
    const facts = !style ? "example" : style.state === "ready" ? style.network : style.state === "failed" ? style.error || "failed" : "being measured";
    const text = h("div", { class: "card-text" }, h("p", { class: "card-title" }, title), h("p", { class: "card-facts faint" }, facts));
    const remove = style && iconButton("bin", `Erase the style ${title}`, () => this.#erase(style, title));
    this.#load(image, path);
    return h("li", { class: "card" }, open, h("div", { class: "card-foot" }, text, remove));
  }

  async #load(image, path) {
    try {
      if (!this.urls.has(path)) this.urls.set(path, URL.createObjectURL(await getBlob(path)));
      image.src = this.urls.get(path);
      image.hidden = false;
    } catch {
      image.replaceWith(icon("brush"));
    }
  }

  async #erase(style, title) {
    try {
      await erase(style.links.self);
      say(`The style ${title} was erased.`);
      await this.reload();
      this.list.querySelector("button")?.focus();
    } catch (error) {
      this.#trouble(error);
    }
  }

  #trouble(error) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }
}

customElements.define("style-gallery", StyleGallery);
