// Errors and messages above the picture. They stay until they are read and closed.

import { find, h, iconButton } from "/page/dom.js";

const MOST = 3;

/** Show a message. `kind` is "error" or "note"; `action` is a label and a function. */
export function notice(text, { kind = "note", action = null, id = null } = {}) {
  const place = find("#notices");
  if (id) dismiss(id);
  for (const other of place.querySelectorAll(".notice")) if (other.dataset.text === text) other.remove();
  const element = h("div", { class: `notice is-${kind}`, role: kind === "error" ? "alert" : "status", "data-notice": id });
  element.dataset.text = text;
  const act = action && h("button", { type: "button", class: "quiet", onclick: () => { element.remove(); action[1](); } }, action[0]);
  element.append(h("p", {}, text), ...(act ? [act] : []), iconButton("close", "Close this message", () => element.remove()));
  place.append(element);
  while (place.children.length > MOST) place.firstElementChild.remove();
  return element;
}

export const dismiss = (id) => find(`[data-notice="${id}"]`)?.remove();

/** Show an error: what is wrong, and what the server would take. */
export function trouble(error, action = null) {
  if (error.status === 401) return;
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  const limits = error.allowed && typeof error.allowed === "object" && !Array.isArray(error.allowed)
    ? ` (${Object.entries(error.allowed).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`).join(", ")})` : "";
  const wait = error.retryAfterS ? ` Try again in ${Math.ceil(error.retryAfterS)} s.` : "";
  notice(`${text.replace(/\.$/, "")}${limits}.${wait}`, { kind: "error", action });
}
