// Resampling by a Lanczos filter of three lobes, as Pillow does it in mode F: sums in double, results in float.

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const lanczos = (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0);

/** The first sample and the weights of each position of the result, along one axis. */
function tapsOf(before, after) {
  const scale = before / after;
  const widened = Math.max(scale, 1);
  const taps = [];
  for (let place = 0; place < after; place++) {
    const center = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - 3 * widened + 0.5));
    const end = Math.min(before, Math.trunc(center + 3 * widened + 0.5));
    const weights = [];
    for (let sample = first; sample < end; sample++) weights.push(lanczos((sample - center + 0.5) * (1 / widened)));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    taps.push([first, weights.map((weight) => weight * (1 / sum))]);
  }
  return taps;
}

/**
 * Resize an image and clip it to 0..1.
 *
 * @param {Float32Array} planes R, G and B, each height x width, 0..1.
 * @returns {Float32Array} the same at the new size.
 */
export function resize(planes, width, height, newWidth, newHeight) {
  let wide = planes;
  if (newWidth !== width) {
    wide = new Float32Array(3 * height * newWidth);
    tapsOf(width, newWidth).forEach(([first, weights], x) => {
      for (let row = 0; row < 3 * height; row++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += planes[row * width + first + i] * weights[i];
        wide[row * newWidth + x] = sum;
      }
    });
  }
  let high = wide;
  if (newHeight !== height) {
    high = new Float32Array(3 * newHeight * newWidth);
    tapsOf(height, newHeight).forEach(([first, weights], y) => {
      for (let channel = 0; channel < 3; channel++)
        for (let x = 0; x < newWidth; x++) {
          let sum = 0;
          for (let i = 0; i < weights.length; i++)
            sum += wide[(channel * height + first + i) * newWidth + x] * weights[i];
          high[(channel * newHeight + y) * newWidth + x] = sum;
        }
    });
  }
  return high === planes ? planes : high.map((value) => Math.min(1, Math.max(0, value)));
}

/** Width and height with the wanted long side; 0 keeps the size. */
export function fitLongSide(width, height, longSide) {
  const longest = Math.max(width, height);
  if (longSide === 0) return [width, height];
  return [width, height].map((side) => Math.max(1, Math.floor((2 * side * longSide + longest) / (2 * longest))));
}
