"""The style sheet and the script of a report: inside the page, so that it needs nothing else."""

LIGHT_LINES = ("#1a1a1a", "#1f5fa8", "#b3261e", "#1b7a43", "#8a3fbf", "#8f5300", "#006f77", "#b0307f")
DARK_LINES = ("#f2f2f2", "#7ab8ff", "#ff8a80", "#6fd694", "#cfa4ff", "#ffb74d", "#4dd6dd", "#ff8fcf")
LIGHT = {"page": "#ffffff", "text": "#1a1a1a", "faint": "#5a5a5a", "edge": "#d4d4d4", "panel": "#f4f4f2"}
DARK = {"page": "#16181b", "text": "#e9e9e7", "faint": "#a9adb3", "edge": "#3b3f45", "panel": "#202328"}


def style_sheet() -> str:
    """Return the CSS: light, and dark where the reader's system is."""
    return f"""
:root {{ color-scheme: light dark; {_variables(LIGHT, LIGHT_LINES)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK, DARK_LINES)} }} }}
{_LINES}
{_RULES}"""


def _variables(colours: dict[str, str], lines: tuple[str, ...]) -> str:
    named = {**colours, **{f"line-{index}": colour for index, colour in enumerate(lines)}}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


_LINES = "\n".join(f".line-{index} {{ stroke: var(--line-{index}); }}" for index in range(len(LIGHT_LINES)))

_RULES = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem;
  background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: 0 0 .75rem; overflow-wrap: anywhere; }
.faint, figcaption, caption { color: var(--faint); }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
.inputs, .columns { display: grid; gap: 1.5rem; align-items: start; }
.top { display: flex; flex-wrap: wrap; gap: 1.5rem 3rem; }
.top > :first-child { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.top > .inputs { flex: 1 1 14rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr)); }
.columns { grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.inputs img { max-height: 20rem; }
.frame { position: relative; overflow: hidden; touch-action: pan-y; cursor: ew-resize; --split: 50%; }
.frame img { width: 100%; height: 100%; object-fit: cover; user-select: none; -webkit-user-drag: none; }
.frame .before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--split)) 0 0); }
.frame .divider { position: absolute; top: 0; bottom: 0; left: var(--split); width: 4px; margin-left: -2px;
  background: #fff; border-inline: 1px solid #000; }
.compare { max-width: 100%; margin-bottom: 1rem; }
.compare input { width: 100%; height: 1.75rem; margin: .25rem 0; accent-color: var(--line-1); }
.ends { display: flex; justify-content: space-between; gap: 1rem; }
:focus-visible { outline: 3px solid var(--line-1); outline-offset: 2px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font: 14px system-ui, sans-serif; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line-0 { stroke-width: 3; }
.grid { stroke: var(--edge); fill: none; }
.mark { stroke: var(--faint); stroke-dasharray: 4 3; fill: none; }
svg.swatch { display: inline-block; width: 2.25rem; margin-right: .5rem; vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { text-align: left; font-weight: normal; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--edge);
  vertical-align: top; }
td { overflow-wrap: anywhere; }
thead th { border-top: 0; color: var(--faint); }
.originals { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: start; margin-bottom: 1.5rem; }
.originals > figure { width: min(100%, 15rem); }
.shared { background: center / cover no-repeat; print-color-adjust: exact; }
.cells { table-layout: fixed; }
.cells td, .cells th { padding: 0 .5rem 1rem 0; border-top: 0; }
.cells th { white-space: normal; overflow-wrap: anywhere; font-size: .875rem; }
.cells th[scope=col] { padding-bottom: .5rem; vertical-align: bottom; }
.cells th[scope=row] { vertical-align: middle; }
.cells img { width: 100%; }
.cells figcaption { display: flex; flex-wrap: wrap; gap: .25rem .5rem; padding-top: .3rem;
  font-size: .8125rem; line-height: 1.4; }
.cells figcaption img { flex: 0 0 35%; align-self: start; width: 35%; }
.cells figcaption div { flex: 1 1 7.5rem; min-width: 0; }
.loss { display: block; font-variant-numeric: tabular-nums; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
summary { cursor: pointer; padding: .5rem 0; }
pre { margin: 0; padding: .75rem 1rem; background: var(--panel); border: 1px solid var(--edge); border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.5 ui-monospace, monospace; }
@media (max-width: 40rem) {
  svg text { font-size: 20px; }
  th, td { padding-right: .5rem; }
  .number, .scroll table:not(.cells) th { white-space: nowrap; font-size: .8rem; padding-right: .3rem; }
  svg.swatch { width: 1.5rem; margin-right: .2rem; }
}
@media print { .compare input { display: none; } }
"""

SCRIPT = """
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
"""
