// One tab's work: two pictures, the job that is shown, and what is submitted next.

import { Away, erase, getBlob, getJson, getText, post, postJson, submit } from "/page/api.js";
import { parseEvents } from "/page/stream.js";
import { addPictures, fromServer } from "/page/pictures.js";

const PAUSE_MS = 250; // between the last movement of a slider and the draft
const QUEUE_MS = 3000; // between questions for the place in the queue
const ENDED = ["done", "cancelled", "failed", "quarantined"];

export const isEnded = (job) => ENDED.includes(job.state);
export const isDraft = (job) => job.tag === "draft";

/**
 * Dispatches `pictures`, `job` (the job shown, or its progress, has changed), `picture` (the job has a newer picture),
 * `trouble` (detail: an error), `sent` (detail: the new job) and `ended`.
 */
export class Session extends EventTarget {
  content = null;
  style = null;
  job = null;
  pictureUrl = null;
  course = []; // of the losses of this job, as [iteration, loss]
  isSending = false;

  #form;
  #timer = 0;
  #wanted = null;
  #replaced = [];
  #painted = null; // what a draft of the job shown depends on
  #finished = null; // what the finished picture depends on
  #isFetching = false;
  #asked = 0; // requests for the state of a job so far
  #answered = 0; // the latest of them whose answer is shown
  #draftPriority = 1;
  #pace = null;

  constructor(form, stream) {
    super();
    this.#form = form;
    stream.addEventListener("job", ({ detail }) => this.#take(detail));
    stream.addEventListener("connection", ({ detail }) => detail && this.refresh().catch(() => {}));
    setInterval(() => this.job?.state === "queued" && this.refresh().catch(() => {}), QUEUE_MS);
  }

  get isReady() {
    return Boolean(this.content && this.style);
  }

  get isRunning() {
    return Boolean(this.job && !isEnded(this.job));
  }

  /** Whether the settings differ from those that the job shown was made with. */
  get isStale() {
    return Boolean(this.job && this.isReady && this.#painted !== this.#look());
  }

  /** Whether the picture is finished, with the settings as they are. */
  get isFinished() {
    return Boolean(this.job?.state === "done" && !isDraft(this.job) && this.#finished === this.#wish());
  }

  setPicture(name, picture) {
    this[name] = picture;
    if (name === "content" && picture?.width) {
      this.#form.ratio = picture.height / picture.width;
      this.#form.photoSize = [picture.width, picture.height];
    }
    this.dispatchEvent(new Event("pictures"));
    if (this.isReady) this.draftSoon();
  }

  /** Submit a draft when the sliders rest, unless a finished picture is being painted or nothing has changed. */
  draftSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const isFinishing = this.isRunning && !isDraft(this.job);
      if (this.isReady && !isFinishing && (!this.job || this.isStale)) this.send("draft");
    }, PAUSE_MS);
  }

  /** Submit a draft or the finished picture. The last wish counts while an earlier one is on its way. */
  async send(kind) {
    clearTimeout(this.#timer);
    this.#wanted = kind;
    if (this.isSending) return;
    this.isSending = true;
    this.dispatchEvent(new Event("job"));
    try {
      while (this.#wanted) {
        const wanted = this.#wanted;
        this.#wanted = null;
        await this.#submit(wanted);
      }
    } catch (error) {
      this.#tellTrouble(error);
    } finally {
      this.isSending = false;
      this.dispatchEvent(new Event("job"));
    }
  }

  async #submit(kind, without = []) {
    const before = this.job, look = this.#look(), wish = this.#wish();
    const isSameScene = before && this.content.job === before.id && this.style.job === before.id;
    const start = isSameScene && !without.includes("start_job") && !["failed", "quarantined"].includes(before.state) ? before : null;
    const settings = kind === "draft" ? this.#form.draft(Boolean(start)) : this.#form.finish(start?.settings.size);
    const form = new FormData();
    addPictures(form, this.content, this.style, without.includes("images_of"));
    form.set("settings", JSON.stringify(settings));
    form.set("network", kind === "draft" ? this.#form.fast.name : this.#form.best.name);
    form.set("tag", kind);
    if (kind === "draft" && this.#draftPriority) form.set("priority", String(this.#draftPriority));
    if (start) form.set("start_job", start.id);
    if (before && !isEnded(before) && !without.includes("supersedes")) form.set("supersedes", before.id);
    let job;
    try {
      job = await submit(form);
    } catch (error) {
      return this.#submitOtherwise(kind, without, error);
    }
    if (form.has("supersedes") && isDraft(before)) this.#replaced.push(before.id);
    this.content = { ...this.content, job: job.id };
    this.style = { ...this.style, job: job.id };
    this.#show(job, { keepsPicture: Boolean(start) });
    this.#painted = look;
    this.#finished = wish;
    this.dispatchEvent(new CustomEvent("sent", { detail: job }));
  }

  /** Submit again without what the server no longer has: jobs may have been erased, here or in another tab. */
  async #submitOtherwise(kind, without, error) {
    const name = ["images_of", "start_job", "supersedes"].find((field) => String(error.message).startsWith(`${field} names`));
    if (name && !without.includes(name)) return this.#submit(kind, [...without, name]);
    if (String(error.message).startsWith("bad priority") && this.#draftPriority) {
      this.#draftPriority = 0;
      return this.#submit(kind, without);
    }
    throw error;
  }

  /** Show a job of the server: its pictures, its settings and what it has painted. */
  async open(id) {
    clearTimeout(this.#timer);
    const job = await getJson(`/v1/renders/${id}`);
    const names = { content: "photo", style: "painting", ...job.names };
    const load = async (name) => job.links[name] && fromServer(job.links[name], names[name], job.id).catch(() => null);
    const [content, style] = await Promise.all([load("content"), load("style")]);
    this.setPicture("content", content);
    this.setPicture("style", style);
    clearTimeout(this.#timer);
    const { scales, ...settings } = job.settings;
    this.#form.restore(job.tag === "finish" && job.start_job ? settings : job.settings, isDraft(job)); // see Form.finish
    clearTimeout(this.#timer);
    this.#replaced = [];
    this.#show(job, { keepsPicture: false });
    this.#painted = this.#look();
    this.#finished = this.#wish();
    await Promise.all([this.#loadPicture(), this.#loadCourse()]);
  }

  /** Fetch the losses from the beginning of the job. */
  async #loadCourse() {
    const { id, links } = this.job;
    const text = await getText(`${links.events}?wait=0`).catch(() => "");
    if (this.job?.id !== id) return;
    const events = parseEvents(text).filter(({ kind }) => kind === "iteration");
    this.course = [...events.map(({ data }) => [data.iteration, data.loss]), ...this.course];
    if (events.length) this.job.terms ??= events.at(-1).data.terms;
    this.dispatchEvent(new Event("job"));
  }

  /** Leave the job as it is, and begin with nothing. */
  clear() {
    clearTimeout(this.#timer);
    Object.assign(this, { content: null, style: null, job: null, course: [] });
    this.#setPictureUrl(null);
    for (const name of ["pictures", "picture", "job"]) this.dispatchEvent(new Event(name));
  }

  async stop() {
    await this.#act((id) => post(`/v1/renders/${id}/cancel`));
  }

  async paintLonger() {
    const { iterations, evaluations } = this.job.settings;
    const more = { iterations: Math.round(1.5 * iterations), ...(evaluations ? { evaluations: Math.round(1.5 * evaluations) } : {}) };
    await this.#act((id) => postJson(`/v1/renders/${id}/resume`, more));
  }

  async #act(ask) {
    try {
      await this.#ask(ask);
    } catch (error) {
      this.#tellTrouble(error);
    }
  }

  /** Ask the server for the state of the job. */
  async refresh() {
    const id = this.job?.id;
    if (!id) return;
    try {
      await this.#ask(() => getJson(`/v1/renders/${id}`));
    } catch (error) {
      if (error.status === 404 && this.job?.id === id) this.#lose();
      else if (!(error instanceof Away)) throw error;
    }
  }

  /** Take the state of the job that a request returns, unless a later request has returned before: it may be older. */
  async #ask(ask) {
    const { id } = this.job;
    const number = ++this.#asked;
    const job = await ask(id);
    if (this.job?.id !== id || number < this.#answered) return;
    this.#answered = number;
    this.#update(job);
  }

  #lose() {
    this.#tellTrouble(new Error("The picture was erased."));
    this.job = null;
    this.#setPictureUrl(null);
    for (const name of ["picture", "job"]) this.dispatchEvent(new Event(name));
  }

  #show(job, { keepsPicture }) {
    this.job = job;
    this.course = [];
    this.#pace = null;
    if (!keepsPicture) this.#setPictureUrl(null);
    this.dispatchEvent(new Event("job"));
  }

  #update(job) {
    const hasEnded = !isEnded(this.job) && isEnded(job);
    const progress = this.job.progress;
    this.job = job;
    if (job.state === "running" && progress.iteration > job.progress.iteration) this.job.progress = progress;
    this.dispatchEvent(new Event("job"));
    if (hasEnded) this.dispatchEvent(new Event("ended"));
    if (hasEnded) this.#end();
    else if (job.state === "running") this.#loadPicture();
  }

  async #end() {
    if (this.job.outcome === "superseded" && !this.#wanted && !this.isSending) await this.#followSuccessor();
    await this.#loadPicture();
    if (this.job.state !== "done") return;
    for (const id of this.#replaced.splice(0)) erase(`/v1/renders/${id}`).catch(() => {}); // nothing begins with them any more
  }

  /** Another tab has replaced the job: show what it shows. */
  async #followSuccessor() {
    const id = this.job.id;
    const { renders } = await getJson("/v1/renders?limit=50");
    const next = renders.find((job) => job.start_job === id);
    if (next && this.job.id === id) {
      await this.open(next.id).catch(() => {});
      this.dispatchEvent(new CustomEvent("sent", { detail: this.job }));
    }
  }

  #take({ id, kind, data }) {
    if (id !== this.job?.id) return;
    if (kind === "iteration") {
      this.#advance(data);
      this.dispatchEvent(new Event("job"));
    } else if (kind === "preview") {
      this.#loadPicture();
    } else {
      if (kind === "running") Object.assign(this.job, { form: data });
      this.refresh().catch(() => {});
    }
  }

  #advance(data) {
    const { progress } = this.job;
    const fraction = Math.min(1, data.iteration / Math.max(1, progress.iterations));
    this.#pace ??= { iteration: data.iteration, seconds: data.seconds };
    const [iterations, seconds] = [data.iteration - this.#pace.iteration, data.seconds - this.#pace.seconds];
    if (iterations > 4) progress.seconds_left = (seconds / iterations) * (progress.iterations - data.iteration);
    else if (progress.fraction < 1) progress.seconds_left *= (1 - fraction) / (1 - progress.fraction);
    Object.assign(progress, { iteration: data.iteration, evaluations: data.evaluations, loss: data.loss, fraction });
    this.job.state = "running";
    this.job.terms = data.terms;
    this.course.push([data.iteration, data.loss]);
  }

  /** Fetch the picture so far, or the result. Only one request is under way; the picture that it misses comes next. */
  async #loadPicture() {
    if (this.#isFetching || !this.job) return;
    const { id, links, state } = this.job;
    const path = isEnded(this.job) ? links.result : this.job.progress.iteration > 0 && links.preview;
    if (!path) return;
    this.#isFetching = true;
    try {
      const blob = await getBlob(path, isEnded(this.job) ? { headers: { accept: "image/png" } } : {});
      if (this.job?.id === id) this.#setPictureUrl(URL.createObjectURL(blob));
    } catch (error) {
      if (error.status !== 404 && !(error instanceof Away)) this.#tellTrouble(error);
    } finally {
      this.#isFetching = false;
    }
    if (this.job?.id !== id || (this.job && isEnded(this.job) && !ENDED.includes(state))) await this.#loadPicture();
  }

  #setPictureUrl(url) {
    const before = this.pictureUrl;
    this.pictureUrl = url;
    this.dispatchEvent(new Event("picture"));
    if (before) setTimeout(() => URL.revokeObjectURL(before), 2000);
  }

  #wish() {
    return JSON.stringify([this.content?.url, this.style?.url, this.#form.kept]);
  }

  /** What decides how a draft looks. */
  #look() {
    return JSON.stringify([this.content?.url, this.style?.url, this.#form.draft(false)]);
  }

  #tellTrouble(error) {
    if (error.name !== "AbortError" && error.status !== 401) this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }
}
