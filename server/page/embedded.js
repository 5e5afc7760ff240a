// The settings that impasto writes into its pictures: a text chunk of a PNG, or the description of JPEG, WebP and TIFF.

const KEYWORD = "impasto";

/** Return the record inside a picture's file, or null. */
export async function readRecord(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = isPng(bytes) ? pngText(bytes) : described(bytes);
  try {
    const record = JSON.parse(text);
    return record && typeof record.settings === "object" ? record : null;
  } catch {
    return null;
  }
}

const isPng = (bytes) => bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47;

function pngText(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = latin(bytes.subarray(at + 4, at + 8));
    if (kind === "tEXt") {
      const [keyword, value] = latin(bytes.subarray(at + 8, at + 8 + length)).split("\0");
      if (keyword === KEYWORD) return value;
    }
    if (kind === "IEND") break;
    at += 12 + length;
  }
  return "";
}

/** The description is ASCII that ends with a zero byte. */
function described(bytes) {
  const wanted = new TextEncoder().encode(`${KEYWORD} {`);
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) {
      const end = bytes.indexOf(0, at);
      return latin(bytes.subarray(at + wanted.length - 1, end < 0 ? bytes.length : end));
    }
  }
  return "";
}

function latin(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}
