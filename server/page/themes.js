// Light, dark, or as the system says.

import { icon, say } from "/page/dom.js";

const NAME = "impasto-theme";
const THEMES = { auto: "as the system says", light: "light", dark: "dark" };
const ICONS = { auto: "auto", light: "sun", dark: "moon" };

export function watchTheme(button) {
  let theme = localStorage.getItem(NAME) in THEMES ? localStorage.getItem(NAME) : "auto";
  const show = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(ICONS[theme]));
    button.title = `Colours: ${THEMES[theme]}`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    localStorage.setItem(NAME, theme);
    show();
    say(button.title);
  });
  show();
}
