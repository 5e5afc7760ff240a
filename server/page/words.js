// How numbers and states are written.

/** "12 s", "3 min", "1 h 20 min". */
export function duration(seconds) {
  if (seconds < 1) return "1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** "2 min ago", "yesterday". */
export function age(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  if (seconds < 60) return "just now";
  for (const [unit, length, most] of [["minute", 60, 60], ["hour", 3600, 24], ["day", 86400, 365]]) {
    if (seconds < length * most) return words.format(-Math.round(seconds / length), unit);
  }
  return new Date(time).toLocaleDateString("en");
}

export const percent = (fraction) => `${Math.round(100 * fraction)} %`;

/** The size of a picture, as "768 × 512 px". */
export function dimensions(longSide, ratio) {
  const short = Math.round(longSide * Math.min(ratio, 1 / ratio));
  return ratio < 1 ? `${longSide} × ${short} px` : `${short} × ${longSide} px`;
}

/** A name of a setting as words: "style_loss" is "Style loss". */
export const words = (name) => (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
