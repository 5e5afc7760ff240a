// Requests to the server this page came from, with the API key if it needs one.

const KEY = "impasto-key";

/** A refusal of the server (RFC 9457). */
export class Problem extends Error {
  constructor(status, document, retryAfterS) {
    super(document.detail || document.title || `The server answered ${status}`);
    Object.assign(this, { status, title: document.title || "", allowed: document.allowed, retryAfterS });
    this.kind = String(document.type || "").split(":").pop();
  }
}

/** The server cannot be reached. */
export class Away extends Error {}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) || localStorage.getItem(KEY) || "",
  set(value, isKept) {
    sessionStorage.setItem(KEY, value);
    if (isKept) localStorage.setItem(KEY, value);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
};

export function authorization() {
  const key = apiKey.get();
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Send a request. A 401 is also told to the document, as the event `key-needed`. */
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...authorization(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("The server cannot be reached.");
  }
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => ({})), Number(answer.headers.get("retry-after")) || 0);
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("key-needed", { detail: problem }));
  throw problem;
}

export const getJson = async (path) => (await request(path)).json();
export const getText = async (path) => (await request(path)).text();
export const getBlob = async (path, options) => (await request(path, options)).blob();
export const post = async (path, body) => (await request(path, { method: "POST", body })).json();
export const postJson = (path, value) =>
  request(path, { method: "POST", body: JSON.stringify(value), headers: { "content-type": "application/json" } }).then((a) => a.json());
export const erase = (path) => request(path, { method: "DELETE" });

/** Submit a form until the server has it, once: the key makes a repetition return the same job. */
export async function submit(form, patienceS = 60) {
  const headers = { "idempotency-key": randomName() };
  for (let waitedS = 0, pauseS = 0.5; ; pauseS = Math.min(2 * pauseS, 5)) {
    try {
      return await (await request("/v1/renders", { method: "POST", body: form, headers })).json();
    } catch (error) {
      const passes = error instanceof Away || error.status === 503;
      if (!passes || waitedS >= patienceS) throw error;
    }
    await sleep(pauseS);
    waitedS += pauseS;
  }
}

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
