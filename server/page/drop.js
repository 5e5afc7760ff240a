// Dropping and pasting: files of pictures, results of impasto, and cards of the gallery.

import { readRecord } from "/page/embedded.js";
import { DRAGGED } from "/page/gallery.js";

/**
 * Listen on the whole window.
 * @param slots the two places, by name
 * @param hands what to do: put(name, file), restore(record, file), open(id), use(name, id), refuse(text)
 */
export function watchDrops(slots, hands) {
  const body = document.body;
  let depth = 0;
  const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].some((type) => type === "Files" || type === DRAGGED);
  window.addEventListener("dragenter", (event) => {
    if (carries(event) && ++depth) body.classList.add("is-dropping");
  });
  window.addEventListener("dragleave", () => {
    if (--depth <= 0) body.classList.remove("is-dropping");
  });
  window.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    depth = 0;
    body.classList.remove("is-dropping");
    if (!carries(event)) return;
    event.preventDefault();
    const slot = event.target.closest?.("picture-slot")?.name || null;
    const id = event.dataTransfer.getData(DRAGGED);
    if (id) slot ? hands.use(slot, id) : hands.open(id);
    else take([...event.dataTransfer.files], slot, slots, hands);
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files || [])];
    if (!files.length) return;
    event.preventDefault();
    take(files, document.activeElement?.closest("picture-slot")?.name || null, slots, hands);
  });
}

async function take(files, slot, slots, hands) {
  const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(png|jpe?g|webp|tiff?)$/i.test(file.name));
  if (!pictures.length) return hands.refuse("That is no picture: PNG, JPEG, WebP and TIFF files are read.");
  if (slot) return hands.put(slot, pictures[0]);
  if (pictures.length === 1) {
    const record = await readRecord(pictures[0]);
    if (record) return hands.restore(record, pictures[0]);
    return hands.put(slots.content.classList.contains("is-filled") ? "style" : "content", pictures[0]);
  }
  hands.put("content", pictures[0]);
  return hands.put("style", pictures[1]);
}
