// Where a graph keeps its weights: the places that its ONNX file names, which ONNX Runtime would open.

// By message of onnx.proto, the fields on the way to a tensor, and the message that each of them holds.
const MESSAGES = {
  model: { 7: "graph", 20: "training", 25: "function" },
  training: { 1: "graph", 2: "graph" },
  graph: { 1: "node", 5: "tensor", 15: "sparse" },
  function: { 7: "node", 11: "attribute" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse" },
  sparse: { 1: "tensor", 2: "tensor" },
  tensor: { 13: "entry" },
};
const VARINT = 0, LENGTH = 2; // kinds of fields
const FIXED = { 1: 8, 5: 4 }; // kinds of fields with so many bytes

/** The places of the weights outside a graph's own file, as the file names them. Throws where it is no ONNX model. */
export function externalPlaces(file) {
  const places = new Set();
  visit(file, "model", places);
  return [...places];
}

function visit(bytes, message, places) {
  if (message === "entry") {
    const entry = Object.fromEntries([...fields(bytes)].map(([number, text]) => [number, new TextDecoder().decode(text)]));
    if (entry[1] === "location") places.add(entry[2]);
    return;
  }
  for (const [number, content] of fields(bytes)) {
    const nested = MESSAGES[message][number];
    if (nested) visit(content, nested, places);
  }
}

/** The number and the bytes of every field of a message that has a length. */
function* fields(bytes) {
  let place = 0;
  const varint = () => {
    for (let value = 0, scale = 1; place < bytes.length; scale *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("it is not an ONNX model");
  };
  while (place < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === VARINT) {
      varint();
      continue;
    }
    const length = kind === LENGTH ? varint() : FIXED[kind];
    if (length === undefined || length > bytes.length - place) throw new Error("it is not an ONNX model");
    if (kind === LENGTH) yield [Math.floor(tag / 8), bytes.subarray(place, place + length)];
    place += length;
  }
}
