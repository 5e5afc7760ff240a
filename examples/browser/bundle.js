// A bundle of `impasto bundle` run with ONNX Runtime for JavaScript, in Node or a browser.
//
// It runs the result's own size and no coarser scales. Styles come from images where the style loss is gram or
// gram-mean; moments needs a style of the bundle, because the root of a covariance matrix is not computed here.

import { externalPlaces } from "./external.js";
import { fitLongSide, resize } from "./lanczos.js";

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, uint8: Uint8Array };
const WEIGHTS = "weights.bin";
const NO_LIMIT = 1e300;
const TILE = 16; // sides of a seamless image are multiples of it
const NOISE_MEAN = [0.485, 0.456, 0.406];
const NOISE_DEVIATION = 0.227;

const product = (shape) => shape.reduce((total, side) => total * side, 1);

export class BundleRun {
  /**
   * Open the graphs of a bundle.
   *
   * @param ort the module onnxruntime-node or onnxruntime-web.
   * @param manifest the parsed manifest.json.
   * @param read a function of a file's name that returns its bytes, or a promise of them.
   * @param create a function of a graph's bytes, the files of its weights and the graph's name that returns a promise of
   *   its session.
   * @param result number of the result.
   */
  static async open(ort, manifest, { read, create }, result = 0) {
    if (manifest.format !== "impasto-bundle" || manifest.format_version !== 1)
      throw new Error("not a bundle of format version 1: make it again with `impasto bundle`");
    const run = new BundleRun();
    Object.assign(run, { ort, manifest, readFile: read, create, result: manifest.results[result] });
    run.scale = run.result.scales.at(-1);
    run.size = manifest.sizes[run.scale.size];
    run.objective = await run.session(run.size.objective);
    run.step = await run.session(run.size.step);
    return run;
  }

  /** A session of a graph, whose weights are in the bundle's own file of weights or in the graph. */
  async session({ file }) {
    const graph = await this.read(file);
    const places = externalPlaces(graph);
    for (const place of places)
      if (place !== WEIGHTS) throw new Error(`damaged bundle: ${file} takes weights from ${place}; allowed is ${WEIGHTS}`);
    if (places.length > 0) this.weightsFile ??= await this.read(WEIGHTS);
    return this.create(graph, places.map((path) => ({ path, data: this.weightsFile })), file);
  }

  /** The bytes of a file that the manifest lists. */
  async read(name) {
    const entry = Object.hasOwn(this.manifest.files, name) && this.manifest.files[name];
    if (!entry || name.split(/[\\/]/).some((part) => part === "" || part === "." || part === ".."))
      throw new Error(`damaged bundle: ${name} is no file of its list; make it again`);
    const bytes = await this.readFile(name);
    if (bytes.length !== entry.bytes) throw new Error(`damaged bundle: ${name} is not the file that was written; make it again`);
    return bytes;
  }

  /**
   * Compute the targets of two images, and begin at the content image, or at noise where the bundle says so.
   *
   * @param content {data, width, height}: RGBA bytes, as a canvas gives them; of any size.
   * @param style the same, or {name}: a style of the bundle.
   * @param seed of the noise.
   */
  async begin(content, style, seed = 0) {
    const { width, height } = this.size;
    const image = resize(await this.planes(content), content.width, content.height, width, height);
    const ofContent = await this.features(image, width, height);
    let ofStyle;
    if (style.name !== undefined) {
      ofStyle = await this.savedTargets(style.name);
    } else {
      const [wide, high] = this.styleSize(style);
      const painting = resize(await this.planes(style), style.width, style.height, wide, high);
      ofStyle = await this.features(painting, wide, high);
    }
    this.targets = {};
    for (const name of this.scale.terms.flatMap((term) => term.targets)) {
      const from = name.startsWith("content_") ? ofContent : ofStyle;
      if (!(name in from)) throw new Error(`no target ${name}: moments needs a style of the bundle`);
      this.targets[name] = from[name];
    }
    const start = this.clipped(this.manifest.settings.init === "noise" ? noise(width * height, seed) : image);
    this.image = this.tensor("float32", start, [1, 3, height, width]);
    const weights = Float32Array.from(this.scale.terms.map((term) => this.weightOf(term)));
    this.weights = this.tensor("float32", weights, [1, weights.length]);
    this.coefficients = this.weights;
    this.limit = this.tensor("float64", Float64Array.of(NO_LIMIT), [1, 1]);
    this.state = {};
    for (const part of this.size.step.state) {
      const values = new ARRAYS[part.dtype](product(part.shape));
      if (part.initial === "image") values.set(start);
      else if (Array.isArray(part.initial)) values.set(part.initial);
      this.state[part.name] = this.tensor(part.dtype, values, part.shape);
    }
    this.turn = 0;
  }

  /** Evaluate and step once; return the columns of the log and the terms by name. */
  async advance() {
    const given = { image: this.image, weights: this.weights, ...this.targets };
    const { loss, terms, d_image } = await this.objective.run(pick(given, this.size.objective.inputs));
    const inputs = { loss, terms, d_image, limit: this.limit, coefficients: this.coefficients, ...this.state };
    const outputs = await this.step.run(pick(inputs, this.size.step.inputs));
    for (const part of this.size.step.state) this.state[part.name] = outputs[part.next];
    this.image = outputs.image;
    this.weights = outputs.weights ?? this.weights;
    this.picture = outputs.picture;
    const log = this.state.log;
    const columns = [...this.manifest.optimiser.log, ...this.scale.terms.map((term) => term.name)];
    const row = (this.turn++ % log.dims[0]) * columns.length;
    return Object.fromEntries(columns.map((name, index) => [name, log.data[row + index]]));
  }

  /** The latest accepted image: RGB bytes, width and height. */
  latest() {
    return { data: this.picture.data, width: this.size.width, height: this.size.height };
  }

  tensor(dtype, values, shape) {
    return new this.ort.Tensor(dtype, values, shape);
  }

  async planes({ data, width, height }) {
    const area = width * height;
    const rgb = new Uint8Array(3 * area);
    for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c];
    this.pixels ??= await this.session(this.manifest.pixels);
    const { image } = await this.pixels.run({ picture: this.tensor("uint8", rgb, [1, height, width, 3]) });
    return image.data;
  }

  async features(planes, width, height) {
    this.targetsGraph ??= await this.session(this.manifest.targets);
    return this.targetsGraph.run({ image: this.tensor("float32", planes, [1, 3, height, width]) });
  }

  async savedTargets(name) {
    const style = this.manifest.styles.find((one) => one.name === name);
    if (style === undefined)
      throw new Error(`unknown style ${name}: the bundle has ${this.manifest.styles.map((one) => one.name).join(", ") || "none"}`);
    const bytes = await this.read(style.file);
    const found = {};
    for (const [target, { shape, offset, bytes: length }] of Object.entries(style.steps[this.scale.step]))
      found[target] = this.tensor("float32", new Float32Array(bytes.slice(offset, offset + length).buffer), shape);
    return found;
  }

  /** Width and height that a style image is brought to. */
  styleSize({ width, height }) {
    const least = this.manifest.smallest_side;
    const tiled = (side) => Math.max(least, TILE * Math.floor((2 * side + TILE) / (2 * TILE)));
    const sides = fitLongSide(width, height, this.result.style_long_side);
    if (this.manifest.settings.seamless) return sides.map(tiled);
    if (Math.min(...sides) < least)
      throw new Error(`style image too small: ${sides.join("x")} px once scaled; both sides need ${least} px`);
    return sides;
  }

  clipped(image) {
    const { bounds } = this.manifest.optimiser;
    return bounds === null ? image : image.map((value) => Math.min(bounds[1], Math.max(bounds[0], value)));
  }

  weightOf({ factor, power }) {
    if (power === null) return factor;
    let total = 0;
    for (const name of power.of) {
      const { data, dims } = this.targets[name];
      if (power.sum === "trace") for (let i = 0; i < dims.at(-1); i++) total += data[i * dims.at(-1) + i];
      else for (const value of data) total += value * value;
    }
    return factor / (total / power.divisor || 1) ** power.exponent;
  }
}

function pick(values, ports) {
  return Object.fromEntries(ports.map(({ name }) => [name, values[name]]));
}

/** Planes of noise with the mean and deviation of photographs, as libimpasto has them; its values are others. */
function noise(area, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0; // mulberry32
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: 3 * area }, (_, place) => NOISE_MEAN[Math.floor(place / area)] + NOISE_DEVIATION * normal());
}
