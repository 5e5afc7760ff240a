// The result as a file. Every format but .npy has the settings inside.

import { getBlob } from "/page/api.js";
import { h } from "/page/dom.js";
import { stem } from "/page/pictures.js";

export const FORMATS = {
  png: ["PNG", "png"],
  png16: ["PNG, 16 bits", "png"],
  webp: ["WebP", "webp"],
  jpeg: ["JPEG", "jpg"],
  tiff: ["TIFF", "tif"],
  npy: ["NumPy array", "npy"],
};

export async function download(job, format) {
  const blob = await getBlob(`/v1/renders/${job.id}/result?format=${format}`);
  const names = [job.names.content, job.names.style].filter(Boolean).map(stem);
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: `${names.join("-") || "impasto"}.${FORMATS[format][1]}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
