// The slider between two images: keys come from the range input, a pointer from the picture.
for (const compare of document.querySelectorAll(".compare")) {
  const frame = compare.querySelector(".frame"), range = compare.querySelector("input");
  const show = () => {
    frame.style.setProperty("--split", range.value + "%");
    range.setAttribute("aria-valuetext", `${range.dataset.before} left of ${range.value} percent, ` +
      `${range.dataset.after} right of it`);
  };
  const point = event => {
    if (event.type === "pointermove" && !(event.buttons & 1)) return;
    const box = frame.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    show();
  };
  frame.addEventListener("pointerdown", point);
  frame.addEventListener("pointermove", point);
  range.addEventListener("input", show);
  show();
}
