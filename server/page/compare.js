// The picture, and the photo beneath it up to a line that the user moves.

import { h } from "/page/dom.js";

/** `<compare-view>`: `before` and `after` are addresses of images, or null. */
class CompareView extends HTMLElement {
  connectedCallback() {
    this.after = h("img", { class: "after", alt: "", hidden: true });
    this.before = h("img", { class: "before", alt: "", hidden: true });
    this.line = h("div", { class: "line" });
    this.range = h("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "Compare with the photo", oninput: () => this.#split() });
    this.frame = h("div", { class: "frame" }, this.after, this.before, this.line);
    this.append(this.frame, h("div", { class: "compare-row" }, h("span", { "aria-hidden": "true" }, "Picture"), this.range, h("span", { "aria-hidden": "true" }, "Photo")));
    this.frame.addEventListener("pointerdown", (event) => this.#drag(event));
    this.#split();
  }

  /** Show pictures; a new `after` replaces the old one when it is decoded, so nothing flickers. */
  async show({ before, after, text }) {
    this.#put(this.before, before);
    this.range.disabled = !before || !after;
    this.classList.toggle("is-split", Boolean(before && after));
    this.after.alt = text;
    if (!after) {
      this.#wanted = null;
      this.after.hidden = true;
      this.#size(this.before);
      return;
    }
    if (this.#wanted === after) return;
    this.#wanted = after;
    const next = new Image();
    next.src = after;
    await next.decode().catch(() => {});
    if (this.#wanted !== after) return;
    this.after.src = after;
    this.after.hidden = false;
    this.#size(next);
  }

  #wanted = null;

  #put(image, url) {
    if (image.getAttribute("src") !== url) url ? image.setAttribute("src", url) : image.removeAttribute("src");
    image.hidden = !url;
    if (url && image === this.before) image.decode?.().then(() => this.after.hidden && this.#size(image), () => {});
  }

  /** Give the frame the picture's proportions, and let it grow to the room that there is. */
  #size(image) {
    if (!image.naturalWidth) return;
    this.frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    this.frame.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
  }

  #split() {
    this.frame.style.setProperty("--split", `${this.range.value}%`);
    this.frame.classList.toggle("is-whole", this.range.value === "0");
    this.range.setAttribute("aria-valuetext", `${this.range.value} % of the photo`);
  }

  #drag(event) {
    if (this.range.disabled || event.button) return;
    const move = ({ clientX }) => {
      const { left, width } = this.frame.getBoundingClientRect();
      this.range.value = Math.round((100 * (clientX - left)) / width);
      this.#split();
    };
    const end = () => {
      this.frame.removeEventListener("pointermove", move);
      for (const kind of ["pointerup", "pointercancel"]) this.frame.removeEventListener(kind, end);
    };
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    this.frame.addEventListener("pointermove", move);
    for (const kind of ["pointerup", "pointercancel"]) this.frame.addEventListener(kind, end);
    move(event);
  }
}

customElements.define("compare-view", CompareView);
