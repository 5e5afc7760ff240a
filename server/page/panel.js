// The settings: presets, four sliders, and under "All settings" every other one that the server describes.

import { h, iconButton } from "/page/dom.js";
import { dimensions, duration, words } from "/page/words.js";

const PRESETS = {
  painterly: "Painterly",
  fast: "Fast",
  paper: "Gatys et al. 2015",
  "neural-style": "neural-style",
  "style-transfer-pytorch": "style-transfer-pytorch",
};
const SIZES = [256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072, 4096];
const TIMES = [25, 50, 100, 150, 200, 250, 350, 500, 750, 1000, 1500, 2000, 3000];
const BY_SLIDER = ["strength", "stroke_size", "size", "iterations", "preset"];
const NOT_HERE = ["canvas", "content_taps", "style_taps"];

const NAMES = {
  evaluations: "Most evaluations",
  timeout_s: "Time limit, s",
  history: "L-BFGS history",
  tv_weight: "Smoothness (TV)",
  tv_norm: "Norm of TV",
  pool: "Pooling",
  init: "Begins with",
  optimizer: "Optimiser",
  average: "Averaging (Adam)",
  bounded: "Keep within 0..1",
};

/** The sliders: what stands on them, and how a value becomes a text. */
const SLIDERS = [
  { name: "strength", title: "Strength", ends: ["Photo", "Painting"], stops: () => range(0, 1, 0.05), text: (value) => (value === null ? "of the preset" : percentOf(value)), middle: 0.5 },
  { name: "stroke_size", title: "Stroke size", ends: ["Fine", "Broad"], stops: () => range(-2, 2, 0.25).map((power) => Number((2 ** power).toPrecision(3))), text: (value) => `× ${value}`, middle: 1 },
  { name: "size", title: "Size", ends: ["Small", "Large"], stops: () => SIZES, text: (value, form) => dimensions(value || form.longSide, form.ratio), middle: 512 },
  { name: "iterations", title: "Time", ends: ["Short", "Long"], stops: () => TIMES, text: (value, form) => `${value} iterations, about ${duration(form.finishSeconds)}`, middle: 350 },
];

/** Fill an element with the controls of a form. They follow it, whoever changes it. */
export function buildPanel(place, form) {
  const controls = [...SLIDERS.map((slider) => makeSlider(slider, form))];
  const presets = h("select", { id: "preset", onchange: () => form.choosePreset(presets.value) });
  for (const name of Object.keys(form.description.presets)) presets.append(h("option", { value: name }, PRESETS[name] || words(name)));
  const all = h("details", { class: "all-settings" }, h("summary", {}, "All settings"));
  const others = Object.entries(form.description.schema.properties).filter(([name]) => ![...BY_SLIDER, ...NOT_HERE].includes(name));
  const grid = h("div", { class: "settings-grid" });
  for (const [name, schema] of others) {
    const control = makeControl(name, schema, form);
    if (!control) continue;
    controls.push(control);
    grid.append(control.element);
  }
  all.append(grid);
  place.append(
    h("div", { class: "field" }, h("label", { for: "preset" }, "Preset"), presets),
    ...controls.slice(0, SLIDERS.length).map((control) => control.element),
    all,
  );
  const show = () => {
    presets.value = form.preset;
    for (const control of controls) control.show();
  };
  form.addEventListener("change", show);
  show();
  return show;
}

function makeSlider({ name, title, ends, stops, text, middle }, form) {
  const output = h("output", { for: `slider-${name}`, class: "value" });
  const input = h("input", { type: "range", id: `slider-${name}`, min: "0", step: "1" });
  const reset = iconButton("undo", `${title}: back to the preset's value`, () => {
    form.reset(name);
    input.focus();
  });
  let values = stops();
  const show = () => {
    const value = form.get(name);
    values = [...new Set([...stops(), ...(value ? [value] : [])])].sort((one, other) => one - other);
    input.max = String(values.length - 1);
    input.value = String(nearest(values, value ?? middle));
    output.textContent = text(value, form);
    input.setAttribute("aria-valuetext", output.textContent);
    input.style.setProperty("--filled", `${(100 * input.value) / (values.length - 1)}%`);
    reset.classList.toggle("is-idle", !form.isChanged(name));
    reset.disabled = !form.isChanged(name);
  };
  input.addEventListener("input", () => form.set(name, values[input.value]));
  const element = h(
    "div",
    { class: "slider" },
    h("div", { class: "slider-head" }, h("label", { for: input.id }, title), reset, output),
    input,
    h("div", { class: "ends", "aria-hidden": "true" }, ...ends.map((end) => h("span", {}, end))),
  );
  return { element, show };
}

/** A control for a setting by its JSON schema; null for one that has none. */
function makeControl(name, schema, form) {
  const kinds = [schema.type].flat();
  const id = `setting-${name}`;
  const isOptional = kinds.includes("null");
  let input;
  if (schema.enum) {
    input = h("select", { id }, ...schema.enum.map((value) => h("option", { value }, value)));
    return labelled(name, input, form, (value) => value, (value) => value);
  }
  if (kinds.includes("boolean")) {
    input = h("input", { type: "checkbox", id });
    return labelled(name, input, form, (value) => value, (value) => value, "checked");
  }
  if (kinds.includes("integer") || kinds.includes("number")) {
    const step = kinds.includes("number") ? "any" : "1";
    input = h("input", { type: "number", id, step, min: "0", placeholder: isOptional ? "none" : "" });
    const read = (value) => (value === "" ? (isOptional ? null : undefined) : Number(value));
    return labelled(name, input, form, read, (value) => (value === null ? "" : String(value)));
  }
  return null;
}

function labelled(name, input, form, read, write, property = "value") {
  input.addEventListener("change", () => {
    const value = read(input[property]);
    if (value !== undefined && !Number.isNaN(value)) form.set(name, value);
    else show();
  });
  const show = () => {
    input[property] = write(form.get(name));
    label.classList.toggle("is-changed", form.isChanged(name));
  };
  const label = h("label", { for: input.id }, NAMES[name] || words(name));
  return { element: h("div", { class: property === "checked" ? "field field-check" : "field" }, label, input), show };
}

function nearest(values, wanted) {
  return values.reduce((best, value, index) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? index : best), 0);
}

function range(first, last, step) {
  return Array.from({ length: Math.round((last - first) / step) + 1 }, (_, index) => Number((first + index * step).toFixed(6)));
}

const percentOf = (value) => `${Math.round(100 * value)} %`;
