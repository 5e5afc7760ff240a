// The events of all jobs, in one stream. A browser opens six connections to a server, so where it can (Web Locks) one
// tab reads the stream and passes the events on to the others; elsewhere only visible tabs read it.

import { apiKey, Away, authorization, request, sleep } from "/page/api.js";

const SILENCE_S = 45; // of the server, which says something every 15 s
const PATIENCE_S = 40; // with a tab that reads for others: a phone may have suspended it
const WATCH_MS = 5000;

/**
 * Dispatches `job` (detail: id, kind, data), and `connection` (detail: whether the server can be reached).
 * After each `connection` to true, events may have been missed: ask for the state of what is shown.
 */
export class Stream extends EventTarget {
  #latest = null;
  #channel = null;
  #isConnected = null;
  #reading = null; // ends the reading of this tab
  #heardMs = Date.now();

  start() {
    const name = `impasto-events-${hash(apiKey.get())}`;
    if (navigator.locks && window.BroadcastChannel) {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }) => this.#take(data);
      this.#channel.postMessage({ ask: true });
      this.#lead(name, false);
      const isVisible = () => document.visibilityState === "visible";
      setInterval(() => !this.#reading && isVisible() && Date.now() - this.#heardMs > 1000 * PATIENCE_S && this.#lead(name, true), WATCH_MS);
    } else {
      this.#read(() => document.visibilityState === "visible");
    }
  }

  /** Read for all tabs, from the time when no other does; or at once, in place of one that is silent. */
  #lead(name, steal) {
    this.#heardMs = Date.now();
    navigator.locks.request(name, { steal }, () => this.#read(() => true)).catch(() => {
      this.#reading?.abort(); // another tab has taken over
      this.#reading = null;
      this.#lead(name, false);
    });
  }

  async #read(isWanted) {
    const reading = (this.#reading = new AbortController());
    for (let pauseS = 0.25; ; pauseS = Math.min(2 * pauseS, 5)) {
      if (reading.signal.aborted) return;
      while (!isWanted()) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      try {
        await this.#connect(isWanted, () => (pauseS = 0.25), reading.signal);
      } catch (error) {
        if (reading.signal.aborted) return;
        if (error.status === 401 || error.status === 403) return;
        if (isWanted()) this.#tell({ connected: false });
      }
      await sleep(pauseS);
    }
  }

  async #connect(isWanted, onOpen, stopped) {
    const end = new AbortController();
    const stop = () => end.abort();
    stopped.addEventListener("abort", stop);
    if (stopped.aborted) stop();
    const hide = () => isWanted() || end.abort();
    document.addEventListener("visibilitychange", hide);
    let timer = 0;
    const wind = () => {
      clearTimeout(timer);
      timer = setTimeout(() => end.abort(), 1000 * SILENCE_S);
    };
    try {
      wind();
      const headers = this.#latest === null ? {} : { "last-event-id": String(this.#latest) };
      const answer = await request("/v1/events", { headers: { ...authorization(), ...headers }, signal: end.signal });
      let left = "", isFresh = true;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Away();
        wind();
        this.#channel?.postMessage({ beat: true });
        const blocks = (left + value).split("\n\n");
        left = blocks.pop();
        if (isFresh) {
          isFresh = false;
          onOpen();
          this.#tell({ connected: true });
        }
        for (const message of parseEvents(blocks.join("\n\n"))) this.#tell(message);
      }
    } finally {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", hide);
      stopped.removeEventListener("abort", stop);
    }
  }

  #tell(message) {
    this.#channel?.postMessage(message);
    this.#take(message);
  }

  #take(message) {
    this.#heardMs = Date.now();
    if (message.ask) {
      if (this.#reading && this.#isConnected !== null) this.#channel.postMessage({ connected: this.#isConnected });
    } else if (message.connected !== undefined) {
      this.#isConnected = message.connected;
      this.dispatchEvent(new CustomEvent("connection", { detail: message.connected }));
    } else if (message.number > (this.#latest ?? -1)) {
      this.#latest = message.number;
      const detail = { id: message.data.render, kind: message.kind, data: message.data };
      this.dispatchEvent(new CustomEvent("job", { detail }));
    }
  }
}

/** Return the events in a text: number, kind and data. */
export function parseEvents(text) {
  const found = [];
  for (const block of text.split("\n\n")) {
    const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
    if (fields.id) found.push({ number: Number(fields.id), kind: fields.event, data: JSON.parse(fields.data) });
  }
  return found;
}

/** A short number for a text, so that tabs with different keys do not share a stream. */
function hash(text) {
  let value = 5381;
  for (const letter of text) value = (value * 33 + letter.codePointAt(0)) >>> 0;
  return value.toString(36);
}
