// Run a bundle in onnxruntime-node, and give onnxruntime-web's WASM the same inputs at every run of a graph:
//
//     node same_steps.mjs BUNDLE CONTENT.png STYLE.png EVALUATIONS
//
// It prints, as JSON, the largest difference of each output of each graph, relative to the output's length.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { BundleRun } from "../../examples/browser/bundle.js";
import * as wasm from "../../examples/browser/vendor/ort.wasm.min.mjs";

const require = createRequire(new URL("../../examples/node/", import.meta.url));
const native = require("onnxruntime-node");
const { PNG } = require("pngjs");

const [folder, content, style, evaluations] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
const largest = {};

function difference(one, other) {
  let apart = 0;
  let length = 0;
  for (let i = 0; i < one.length; i++) {
    apart += (Number(one[i]) - Number(other[i])) ** 2;
    length += Number(one[i]) ** 2;
  }
  return apart === 0 ? 0 : Math.sqrt(apart / length);
}

async function create(graph, externalData, file) {
  const session = await native.InferenceSession.create(graph, { externalData, intraOpNumThreads: 1, logSeverityLevel: 3 });
  const second = await wasm.InferenceSession.create(graph, { externalData, executionProviders: ["wasm"] });
  const run = async (feeds) => {
    const copies = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new wasm.Tensor(type, data, dims)]);
    const seen = await session.run(feeds);
    const other = await second.run(Object.fromEntries(copies));
    for (const name in seen) {
      const key = `${file} ${name}`;
      largest[key] = Math.max(largest[key] ?? 0, difference(seen[name].data, other[name].data));
    }
    return seen;
  };
  return { run };
}

wasm.env.wasm.numThreads = 1;
const run = await BundleRun.open(native, manifest, { read: (file) => new Uint8Array(readFileSync(join(folder, file))), create });
const [scene, painting] = [content, style].map((file) => PNG.sync.read(readFileSync(file)));
await run.begin(scene, painting);
for (let done = 0; done < Number(evaluations); done++) await run.advance();
console.log(JSON.stringify(largest));
process.exit(0);
