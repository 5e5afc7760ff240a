// The API key: asked for when the server refuses a request without one.

import { apiKey } from "/page/api.js";
import { find } from "/page/dom.js";

export function watchKey() {
  const dialog = find("#key-dialog"), button = find("#key-button"), input = find("#key-input"), wrong = find("#key-wrong");
  button.hidden = !apiKey.get();
  const ask = () => {
    if (!dialog.open) dialog.showModal();
  };
  document.addEventListener("key-needed", () => {
    button.hidden = false;
    wrong.hidden = !apiKey.get();
    ask();
  });
  button.addEventListener("click", () => {
    wrong.hidden = true;
    ask();
  });
  find("#key-forget").addEventListener("click", () => {
    apiKey.forget();
    location.reload();
  });
  find("#key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.value.trim()) return;
    apiKey.set(input.value.trim(), find("#key-keep").checked);
    location.reload();
  });
}
