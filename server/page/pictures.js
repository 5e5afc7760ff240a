// The two pictures of the user: where they come from, and how they are sent.

import { getBlob } from "/page/api.js";

const NAME = /[^\w .()+-]+/g;

/**
 * @typedef {object} Picture
 * @property {Blob} blob the file
 * @property {string} name of the file
 * @property {string} url for an <img>
 * @property {string | null} job that has this picture as the same input, so that it need not be sent again
 */

/** Return a picture from a file that the user gave. */
export async function fromFile(file, name = file.name, job = null) {
  const url = URL.createObjectURL(file);
  const [width, height] = await sizeOf(url);
  return { blob: file, name: name.replace(NAME, "_").slice(-100) || "picture", url, job, width, height };
}

/** Return a picture from an address of this server. */
export async function fromServer(path, name, job = null) {
  return fromFile(await getBlob(path), name, job);
}

/** The size that a browser sees; [0, 0] for a file that it cannot show, such as a TIFF. */
function sizeOf(url) {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
    image.onerror = () => resolve([0, 0]);
    image.src = url;
  });
}

/** Put the pictures into a form: those that a job of the server has are named, the others are sent. */
export function addPictures(form, content, style, isSentAgain = false) {
  const known = isSentAgain ? null : content.job || style.job;
  if (known) form.set("images_of", known);
  for (const [name, picture] of Object.entries({ content, style })) {
    if (!known || picture.job !== known) form.set(name, picture.blob, picture.name);
  }
}

/** The name of a file without its extension. */
export const stem = (name) => name.replace(/\.[^.]+$/, "");
