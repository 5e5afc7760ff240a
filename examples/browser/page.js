// The page: takes two pictures, hands them to the worker, and draws what comes back.

const MOST_PX = 1024; // larger pictures are reduced before they are handed over

const byId = (id) => document.getElementById(id);
const worker = new Worker(`worker.js${location.search}`, { type: "module" });
const pictures = {};
let ready = false;

function say(text) {
  byId("status").textContent = text;
}

function update() {
  byId("start").disabled = !(ready && pictures.content && pictures.style && byId("stop").disabled);
}

async function take(kind, file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    say(`${file.name} is not a picture that this browser reads.`);
    return;
  }
  const scale = Math.min(1, MOST_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = byId(kind).querySelector("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  pictures[kind] = { data, width, height };
  update();
}

for (const kind of ["content", "style"]) {
  const area = byId(kind);
  area.querySelector("input").addEventListener("change", ({ target }) => target.files[0] && take(kind, target.files[0]));
  for (const name of ["dragenter", "dragover", "dragleave", "drop"])
    area.addEventListener(name, (event) => {
      event.preventDefault();
      area.classList.toggle("over", name.startsWith("drage") || name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) take(kind, event.dataTransfer.files[0]);
    });
}

byId("start").addEventListener("click", () => {
  byId("stop").disabled = false;
  byId("save").hidden = true;
  update();
  say("Reading the pictures.");
  worker.postMessage({ paint: pictures });
});

byId("stop").addEventListener("click", () => worker.postMessage({ stop: true }));

worker.addEventListener("message", ({ data }) => {
  if (data.ready) {
    ready = true;
    say(`Ready: ${data.ready}.`);
  } else if (data.row) {
    const canvas = byId("result");
    canvas.width = data.width;
    canvas.height = data.height;
    canvas.getContext("2d").putImageData(new ImageData(data.pixels, data.width, data.height), 0, 0);
    window.losses = data.row.evaluations === 1 ? [data.row.loss] : [...window.losses, data.row.loss];
    say(`Evaluation ${data.row.evaluations} of ${data.total}: loss ${data.row.loss.toPrecision(4)}.`);
  } else if (data.done) {
    byId("stop").disabled = true;
    byId("save").href = byId("result").toDataURL("image/png");
    byId("save").hidden = false;
    say(`Done: ${data.done}`);
  } else if (data.error) {
    byId("stop").disabled = true;
    say(`Error: ${data.error}`);
  }
  update();
});
worker.addEventListener("error", (event) => say(`Error: ${event.message ?? "the worker did not start"}`));
