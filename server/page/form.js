// What the user wants: a preset and the settings that differ from it. From these come the draft and the finished picture.

const DRAFT_S = 15; // that a first draft should take, if all its scales cost as much as the finest; they take half of it
const FIRST_ITERATIONS = 60;
const NEXT_ITERATIONS = 40; // of a draft that continues from a picture
const LEAST_PX = 192;
const MOST_PX = 512;
const EVALUATIONS = 1.1; // for each iteration, as the server predicts
const SETUP_S = 0.5;
const SMALLEST_PIXELS = 4096;

/** Settings that mean the same thing: one replaces the other. */
const REPLACES = { strength: "content_weight", content_weight: "strength", stroke_size: "style_size", style_size: "stroke_size" };
/** Settings of the run rather than of the look; a draft has its own. */
const OF_THE_RUN = ["size", "iterations", "scales", "evaluations", "timeout_s", "canvas"];

/** Dispatches `change`. */
export class Form extends EventTarget {
  /**
   * @param description the answer of GET /v1/settings
   * @param networks those of GET /v1/networks
   */
  constructor(description, networks) {
    super();
    this.description = description;
    this.networks = networks;
    this.fast = networks.find((network) => network.name === "vgg19-slim") || networks[0];
    this.best = networks.find((network) => network !== this.fast && network.default) || networks.find((network) => network !== this.fast) || this.fast;
    this.preset = Object.keys(description.presets)[0];
    this.changes = {};
    this.ratio = 0.75; // height by width of the photo
    this.draftPixels = (DRAFT_S - SETUP_S) / (FIRST_ITERATIONS * EVALUATIONS) / perPixel(this.fast);
  }

  /** Take over how fast the networks are by now. Drafts keep their size, so that they stay comparable. */
  learn(networks) {
    for (const network of networks) Object.assign(this.networks.find(({ name }) => name === network.name) || {}, network);
  }

  get(name) {
    return name in this.changes ? this.changes[name] : this.description.presets[this.preset][name];
  }

  isChanged(name) {
    return name in this.changes;
  }

  set(name, value) {
    const changes = { ...this.changes, [name]: value };
    delete changes[REPLACES[name]];
    if (same(value, this.description.presets[this.preset][name])) delete changes[name];
    this.#change(this.preset, changes);
  }

  reset(name) {
    const { [name]: _, ...changes } = this.changes;
    this.#change(this.preset, changes);
  }

  choosePreset(name) {
    const { size } = this.changes;
    this.#change(name, size === undefined ? {} : { size });
  }

  /** Take over the settings of a job or a file. Those of a draft leave size and time as they are. */
  restore(settings, isDraft = false) {
    const preset = settings.preset in this.description.presets ? settings.preset : "paper";
    const own = this.description.presets[preset];
    const changes = {};
    for (const [name, value] of Object.entries(settings)) {
      const isKept = isDraft && OF_THE_RUN.includes(name);
      if (name in own && name !== "preset" && !isKept && !same(value, own[name])) changes[name] = value;
    }
    for (const name of isDraft ? OF_THE_RUN : []) if (name in this.changes) changes[name] = this.changes[name];
    for (const [name, other] of Object.entries(REPLACES)) if (changes[name] === null && other in changes) delete changes[name];
    this.#change(preset, changes);
  }

  /** Set what a tab kept over a reload. */
  load(kept) {
    if (!kept || !(kept.preset in this.description.presets)) return;
    const known = Object.entries(kept.changes || {}).filter(([name]) => name in this.description.defaults);
    this.#change(kept.preset, Object.fromEntries(known));
  }

  get kept() {
    return { preset: this.preset, changes: this.changes };
  }

  /** The long side of the result, px; the photo's own where the size is 0. */
  get longSide() {
    return this.get("size") || Math.max(...(this.photoSize || [512, 512]));
  }

  pixels(longSide) {
    return longSide * longSide * Math.min(this.ratio, 1 / this.ratio);
  }

  /** The settings of the finished picture, which continues from a draft of a size (px), if there is one. */
  finish(draftSide) {
    const settings = { preset: this.preset, ...this.changes };
    const scales = this.get("scales");
    if (draftSide && scales !== 1) {
      const needed = 1 + Math.ceil(2 * Math.log2(Math.max(1, this.longSide / draftSide)));
      settings.scales = scales ? Math.min(scales, needed) : needed;
    }
    return settings;
  }

  /** The settings of a draft. */
  draft(isContinued) {
    const { style_size: own, ...settings } = { preset: this.preset, ...this.changes };
    const size = this.draftSide;
    if (own) settings.style_size = Math.max(32, Math.round((own * size) / this.longSide));
    for (const name of OF_THE_RUN) delete settings[name];
    const most = isContinued ? NEXT_ITERATIONS : FIRST_ITERATIONS;
    return { ...settings, size, iterations: Math.min(this.get("iterations"), most), scales: isContinued ? 1 : this.get("scales") };
  }

  /** The long side of a draft, px: what the server paints within some seconds. */
  get draftSide() {
    const side = Math.sqrt(this.draftPixels / Math.min(this.ratio, 1 / this.ratio));
    const rounded = 32 * Math.floor(Math.min(MOST_PX, Math.max(LEAST_PX, side)) / 32);
    return Math.min(rounded, this.longSide);
  }

  /** The seconds that the finished picture probably takes. */
  get finishSeconds() {
    const evaluations = this.get("iterations") * EVALUATIONS;
    return SETUP_S + evaluations * perPixel(this.best) * Math.max(this.pixels(this.longSide), SMALLEST_PIXELS);
  }

  #change(preset, changes) {
    const before = JSON.stringify(this.kept);
    this.preset = preset;
    this.changes = changes;
    if (JSON.stringify(this.kept) !== before) this.dispatchEvent(new Event("change"));
  }
}

const perPixel = (network) => network.seconds_per_megapixel / 1e6;
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
