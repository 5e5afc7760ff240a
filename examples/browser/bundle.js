// A bundle of `impasto bundle` run with ONNX Runtime for JavaScript, in Node or a browser.
//
// It runs the result's own size and no coarser scales. Styles come from images where the style loss is gram or
// gram-mean; moments needs a style of the bundle, because the root of a covariance matrix is not computed here.

import { fitLongSide, resize } from "./lanczos.js";

const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, uint8: Uint8Array };
const NO_LIMIT = 1e300;

const product = (shape) => shape.reduce((total, side) => total * side, 1);

export class BundleRun {
  /**
   * Open the graphs of a bundle.
   *
   * @param ort the module onnxruntime-node or onnxruntime-web.
   * @param manifest the parsed manifest.json.
   * @param open a function of a file's name that returns a promise of its session.
   * @param result number of the result.
   */
  static async open(ort, manifest, open, result = 0) {
    if (manifest.format !== "impasto-bundle" || manifest.format_version !== 1)
      throw new Error("not a bundle of format version 1: make it again with `impasto bundle`");
    const run = new BundleRun();
    Object.assign(run, { ort, manifest, openFile: open, result: manifest.results[result] });
    run.scale = run.result.scales.at(-1);
    run.size = manifest.sizes[run.scale.size];
    run.objective = await open(run.size.objective.file);
    run.step = await open(run.size.step.file);
    return run;
  }

  /**
   * Compute the targets of two images, and begin at the content image.
   *
   * @param content {data, width, height}: RGBA bytes, as a canvas gives them; of any size.
   * @param style the same, or {name, bytes}: a style of the bundle and its file.
   */
  async begin(content, style) {
    const { width, height } = this.size;
    const image = resize(await this.planes(content), content.width, content.height, width, height);
    const ofContent = await this.features(image, width, height);
    let ofStyle;
    if (style.bytes) {
      ofStyle = this.savedTargets(style);
    } else {
      const [wide, high] = fitLongSide(style.width, style.height, this.result.style_long_side);
      const painting = resize(await this.planes(style), style.width, style.height, wide, high);
      ofStyle = await this.features(painting, wide, high);
    }
    this.targets = {};
    for (const name of this.scale.terms.flatMap((term) => term.targets)) {
      const from = name.startsWith("content_") ? ofContent : ofStyle;
      if (!(name in from)) throw new Error(`no target ${name}: moments needs a style of the bundle`);
      this.targets[name] = from[name];
    }
    this.image = this.tensor("float32", image, [1, 3, height, width]);
    const weights = Float32Array.from(this.scale.terms.map((term) => this.weightOf(term)));
    this.weights = this.tensor("float32", weights, [1, weights.length]);
    this.coefficients = this.weights;
    this.limit = this.tensor("float64", Float64Array.of(NO_LIMIT), [1, 1]);
    this.state = {};
    for (const part of this.size.step.state) {
      const values = new ARRAYS[part.dtype](product(part.shape));
      if (part.initial === "image") values.set(image);
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
    this.pixels ??= await this.openFile(this.manifest.pixels.file);
    const { image } = await this.pixels.run({ picture: this.tensor("uint8", rgb, [1, height, width, 3]) });
    return image.data;
  }

  async features(planes, width, height) {
    this.targetsGraph ??= await this.openFile(this.manifest.targets.file);
    return this.targetsGraph.run({ image: this.tensor("float32", planes, [1, 3, height, width]) });
  }

  savedTargets({ name, bytes }) {
    const style = this.manifest.styles.find((one) => one.name === name);
    const found = {};
    for (const [target, { shape, offset, bytes: length }] of Object.entries(style.steps[this.scale.step]))
      found[target] = this.tensor("float32", new Float32Array(bytes.slice(offset, offset + length)), shape);
    return found;
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
