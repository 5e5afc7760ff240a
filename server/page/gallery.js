// What was painted: thumbnails of the server's jobs, the latest first.

import { erase, getBlob, getJson } from "/page/api.js";
import { h, icon, iconButton, say } from "/page/dom.js";
import { stem } from "/page/pictures.js";
import { isDraft, isEnded } from "/page/session.js";
import { age, percent } from "/page/words.js";

const PAGE = 24;
const RELOAD_MS = 300;
const THUMBNAIL_MS = 3000;
export const DRAGGED = "text/x-impasto-render";
const FILTERS = { all: () => true, finished: (job) => !isDraft(job), drafts: isDraft };
const STATES = { queued: "waiting", running: "painting", cancelled: "stopped", failed: "failed", quarantined: "failed" };

/** What a job is called: "harbour in the style of swirls". */
export function titleOf(job) {
  const { content, style } = job.names;
  return style ? `${stem(content || "picture")} in the style of ${stem(style)}` : stem(content || "picture");
}

/** `<render-gallery>`. Dispatches `open` (detail: an id) and `trouble` (detail: an error). */
class RenderGallery extends HTMLElement {
  connectedCallback() {
    this.jobs = new Map();
    this.cards = new Map();
    this.list = h("ul", { class: "cards", role: "list" });
    this.empty = h("div", { class: "empty" }, icon("brush"), h("p", {}, "Nothing painted yet."), h("p", { class: "faint" }, "Drafts and finished pictures appear here."));
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#load() }, "Show more");
    this.filter = "all";
    const choices = Object.keys(FILTERS).map((name) => this.#choice(name));
    this.append(h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, "Show"), ...choices), this.list, this.empty, this.more);
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.#loadThumbnail(target);
    }, { rootMargin: "200px" });
  }

  #choice(name) {
    const choose = () => {
      this.filter = name;
      this.#show();
    };
    const input = h("input", { type: "radio", name: "gallery-filter", value: name, id: `filter-${name}`, checked: name === "all", onchange: choose });
    return h("span", {}, input, h("label", { for: input.id }, name[0].toUpperCase() + name.slice(1)));
  }

  /** Follow the events of a stream. */
  follow(stream) {
    stream.addEventListener("connection", ({ detail }) => detail && this.reload());
    stream.addEventListener("job", ({ detail }) => {
      if (detail.kind === "iteration") this.#advance(detail);
      else if (detail.kind === "preview") this.#refresh(detail.id);
      else this.reloadSoon();
    });
  }

  reloadSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.reload(), RELOAD_MS);
  }

  async reload() {
    try {
      const latest = await getJson(`/v1/renders?limit=${PAGE}`);
      const oldest = latest.renders.at(-1)?.accepted_at;
      for (const job of this.jobs.values()) if (!oldest || !latest.next || job.accepted_at >= oldest) this.jobs.delete(job.id);
      for (const job of latest.renders) this.jobs.set(job.id, job);
      if (this.next === undefined) this.next = latest.next;
      this.#show();
    } catch (error) {
      this.#trouble(error);
    }
  }

  async #load() {
    try {
      const page = await getJson(`/v1/renders?limit=${PAGE}&cursor=${this.next}`);
      for (const job of page.renders) this.jobs.set(job.id, job);
      this.next = page.next;
      this.#show();
    } catch (error) {
      this.#trouble(error);
    }
  }

  #show() {
    const order = [...this.jobs.values()].sort((one, other) => (one.accepted_at < other.accepted_at ? 1 : -1));
    const shown = order.filter((job) => ![job.outcome, job.stopping].includes("superseded") && FILTERS[this.filter](job));
    for (const [id, card] of this.cards) {
      if (shown.some((job) => job.id === id)) continue;
      this.seen.unobserve(card);
      if (card.url) URL.revokeObjectURL(card.url);
      card.remove();
      this.cards.delete(id);
    }
    shown.forEach((job, index) => {
      const card = this.#card(job);
      if (this.list.children[index] !== card) this.list.insertBefore(card, this.list.children[index] || null);
    });
    this.empty.hidden = shown.length > 0;
    this.empty.querySelector("p").textContent = this.jobs.size && this.filter !== "all" ? `No ${this.filter === "drafts" ? "drafts" : "finished pictures"} yet.` : "Nothing painted yet.";
    this.more.hidden = !this.next;
  }

  #card(job) {
    let card = this.cards.get(job.id);
    if (!card) {
      card = this.#newCard(job.id);
      this.cards.set(job.id, card);
    }
    card.job = job;
    const title = titleOf(job);
    card.open.setAttribute("aria-label", `Open ${title}, ${this.#state(job)}`);
    card.querySelector(".card-title").textContent = title;
    card.querySelector(".card-facts").textContent = [this.#state(job), age(job.accepted_at)].join(" · ");
    card.classList.toggle("is-failed", ["failed", "quarantined"].includes(job.state));
    card.classList.toggle("is-running", !isEnded(job));
    card.erase.setAttribute("aria-label", `Erase ${title}`);
    if (isEnded(job) && card.loaded !== "result") {
      this.seen.unobserve(card);
      this.seen.observe(card); // tells again whether it is seen
    }
    return card;
  }

  #state(job) {
    if (job.state === "running") return `painting, ${percent(job.progress.fraction)}`;
    if (STATES[job.state]) return STATES[job.state];
    const size = job.summary ? `${job.summary.width} × ${job.summary.height}` : "";
    return isDraft(job) ? `draft ${size}` : size || "finished";
  }

  #newCard(id) {
    const image = h("img", { alt: "", hidden: true });
    const open = h("button", { type: "button", class: "card-open", onclick: () => this.dispatchEvent(new CustomEvent("open", { detail: id })) }, icon("brush"), image);
    const remove = iconButton("bin", "Erase", () => this.#erase(id));
    const text = h("div", { class: "card-text" }, h("p", { class: "card-title" }), h("p", { class: "card-facts faint" }));
    const card = h("li", { class: "card", draggable: "true" }, open, h("div", { class: "card-foot" }, text, remove));
    card.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData(DRAGGED, id);
      event.dataTransfer.effectAllowed = "copy";
    });
    Object.assign(card, { image, open, erase: remove });
    this.seen.observe(card);
    return card;
  }

  async #loadThumbnail(card) {
    const { job } = card;
    const wanted = isEnded(job) ? "result" : "preview";
    const isThere = isEnded(job) ? job.links.result : job.progress.iteration > 0;
    if (!isThere || card.loaded === wanted) return;
    card.loaded = wanted;
    try {
      const blob = await getBlob(job.links.preview);
      if (card.url) URL.revokeObjectURL(card.url);
      card.url = card.image.src = URL.createObjectURL(blob);
      card.image.hidden = false;
    } catch {
      card.loaded = null; // there is none yet
    }
  }

  #advance({ id, data }) {
    const job = this.jobs.get(id), card = this.cards.get(id);
    if (!job || !card) return;
    job.state = "running";
    job.progress.iteration = data.iteration;
    job.progress.fraction = Math.min(1, data.iteration / Math.max(1, job.progress.iterations));
    card.querySelector(".card-facts").textContent = `${this.#state(job)} · ${age(job.accepted_at)}`;
    if (!card.url) this.#loadThumbnail(card);
  }

  /** Show the picture so far of a job that is painted, every few seconds. */
  #refresh(id) {
    const card = this.cards.get(id);
    if (!card || isEnded(card.job) || Date.now() - (card.shownMs || 0) < THUMBNAIL_MS) return;
    card.shownMs = Date.now();
    card.loaded = null;
    this.seen.unobserve(card);
    this.seen.observe(card);
  }

  async #erase(id) {
    const title = titleOf(this.jobs.get(id));
    const cards = [...this.list.children];
    const neighbour = cards[cards.indexOf(this.cards.get(id)) + 1] || cards[cards.indexOf(this.cards.get(id)) - 1];
    try {
      await erase(`/v1/renders/${id}`);
      this.jobs.delete(id);
      this.#show();
      say(`${title} was erased.`);
      (neighbour?.erase || this.querySelector("input")).focus();
      this.dispatchEvent(new CustomEvent("erased", { detail: id }));
    } catch (error) {
      this.#trouble(error);
    }
  }

  #trouble(error) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }
}

customElements.define("render-gallery", RenderGallery);
