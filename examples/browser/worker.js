// The worker: opens the bundle in bundle/ and paints. The loss runs on WebGPU where the browser has it, else on WASM.
// The optimiser runs on the plain WASM build: it computes in float64, which the build with WebGPU has few operators for.

import * as ort from "./vendor/ort.wasm.min.mjs";

import { BundleRun } from "./bundle.js";

const EVALUATIONS = Number(new URL(self.location).searchParams.get("evaluations") ?? 100);
const BUNDLE = new URL("bundle/", self.location);

let stopped = false;
let opened;

async function fetched(name, kind) {
  const response = await fetch(new URL(name, BUNDLE));
  if (!response.ok) throw new Error(`${name} is missing: make the bundle as the README says`);
  return response[kind]();
}

function configured(module) {
  module.env.wasm.wasmPaths = new URL("vendor/", self.location).href;
  module.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  module.env.logLevel = "error";
  return module;
}

/** A session of the build with WebGPU that takes and gives the tensors of the other build. */
async function openOnGpu(graph, externalData) {
  const gpu = configured(await import("./vendor/ort.webgpu.min.mjs"));
  const session = await gpu.InferenceSession.create(graph, { executionProviders: ["webgpu"], externalData });
  const converted = (tensors, { Tensor }) =>
    Object.fromEntries(Object.entries(tensors).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]));
  return { run: async (feeds) => converted(await session.run(converted(feeds, gpu)), ort) };
}

async function open() {
  configured(ort);
  const manifest = await fetched("manifest.json", "json");
  const onGpu = Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
  const run = await BundleRun.open(ort, manifest, {
    read: async (file) => new Uint8Array(await fetched(file, "arrayBuffer")),
    create: (graph, externalData, file) =>
      onGpu && file.startsWith("objective")
        ? openOnGpu(graph, externalData)
        : ort.InferenceSession.create(graph, { executionProviders: ["wasm"], externalData }),
  });
  const place = onGpu ? "WebGPU" : `WASM with ${ort.env.wasm.numThreads} threads`;
  self.postMessage({ ready: `${manifest.network.name}, ${run.size.width}x${run.size.height} px, ${place}` });
  return run;
}

async function paint(run, { content, style }) {
  stopped = false;
  await run.begin(content, style);
  let row;
  for (let done = 0; done < EVALUATIONS && !stopped; done++) {
    row = await run.advance();
    const { data, width, height } = run.latest();
    const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) pixels[4 * i + c] = data[3 * i + c];
    self.postMessage({ row, total: EVALUATIONS, pixels, width, height }, [pixels.buffer]);
    if (row.code !== 0) break;
    await new Promise((resolve) => setTimeout(resolve)); // lets a stop come in
  }
  self.postMessage({ done: `${row.evaluations} evaluations, loss ${row.loss.toPrecision(4)}.` });
}

self.addEventListener("message", async ({ data }) => {
  if (data.stop) stopped = true;
  if (!data.paint) return;
  try {
    await paint(await opened, data.paint);
  } catch (error) {
    self.postMessage({ error: error.message });
  }
});

opened = open();
opened.catch((error) => self.postMessage({ error: error.message }));
