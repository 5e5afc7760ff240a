// Paint CONTENT.png in the style of STYLE.png, or of a style of the bundle, with a bundle:
//
//     npm install
//     node paint.js DIR CONTENT.png STYLE.png|@NAME OUT.png [EVALUATIONS]
//
// A line for every evaluation: evaluations, iterations, loss.
import { readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";

import ort from "onnxruntime-node";
import { PNG } from "pngjs";

import { BundleRun } from "../browser/bundle.js";

/** The bytes of a file in a folder; a link out of the folder is not followed. */
function readInside(folder, name) {
  const path = realpathSync(join(folder, name));
  if (!path.startsWith(realpathSync(folder) + sep)) throw new Error(`damaged bundle: ${name} is a link to a file outside the folder`);
  return new Uint8Array(readFileSync(path));
}

async function main([folder, contentFile, styleFile, outFile, evaluations = "100"]) {
  if (outFile === undefined) throw new Error("usage: node paint.js DIR CONTENT.png STYLE.png|@NAME OUT.png [EVALUATIONS]");
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  const threads = Number(process.env.IMPASTO_THREADS ?? 0);
  const run = await BundleRun.open(ort, manifest, {
    read: (file) => readInside(folder, file),
    create: (graph, externalData) =>
      ort.InferenceSession.create(graph, { externalData, intraOpNumThreads: threads, logSeverityLevel: 3 }),
  });
  const style = styleFile.startsWith("@") ? { name: styleFile.slice(1) } : PNG.sync.read(readFileSync(styleFile));
  await run.begin(PNG.sync.read(readFileSync(contentFile)), style);
  for (let done = 0; done < Number(evaluations); done++) {
    const row = await run.advance();
    console.log(`${row.evaluations} ${row.iteration} ${row.loss}`);
    if (row.code !== 0) break;
  }
  const { data, width, height } = run.latest();
  const png = new PNG({ width, height, colorType: 2 });
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) png.data[4 * i + c] = data[3 * i + c];
    png.data[4 * i + 3] = 255;
  }
  writeFileSync(`${outFile}.part`, PNG.sync.write(png, { colorType: 2 }));
  renameSync(`${outFile}.part`, outFile);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
});
