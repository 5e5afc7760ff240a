// How far the job is: place in the queue, share, time left, and the course of the loss.

import { h, say } from "/page/dom.js";
import { isDraft, isEnded } from "/page/session.js";
import { duration, percent } from "/page/words.js";

const NS = "http://www.w3.org/2000/svg";

/** `<job-progress>`: `show(session)` shows its job. */
class JobProgress extends HTMLElement {
  connectedCallback() {
    this.text = h("p", { class: "progress-text" });
    this.left = h("p", { class: "progress-left faint" });
    this.bar = h("progress", { max: "1", "aria-label": "Progress" });
    this.curve = document.createElementNS(NS, "svg");
    this.curve.setAttribute("class", "curve");
    this.curve.setAttribute("viewBox", "0 0 100 24");
    this.curve.setAttribute("preserveAspectRatio", "none");
    this.curve.setAttribute("aria-hidden", "true");
    this.path = document.createElementNS(NS, "polyline");
    this.curve.append(this.path);
    this.append(h("div", { class: "progress-row" }, this.text, this.left), this.bar, this.curve);
  }

  show(session) {
    const { job } = session;
    this.hidden = !job && !session.isSending;
    if (this.hidden) return;
    const [text, left, fraction] = job ? this.#words(job) : ["Sending the pictures", "", null];
    this.text.textContent = text;
    this.left.textContent = left;
    if (fraction === null) this.bar.removeAttribute("value");
    else this.bar.value = fraction;
    this.bar.hidden = Boolean(job && isEnded(job));
    this.#draw(session.course);
    this.#say(job);
  }

  #words(job) {
    const { progress } = job;
    const kind = isDraft(job) ? "Draft" : "Picture";
    if (job.state === "queued") {
      const place = job.position === 1 ? "next in the queue" : job.position ? `number ${job.position} in the queue` : "waiting";
      return [`${kind}: ${place}`, progress.seconds_left ? `takes about ${duration(progress.seconds_left)}` : "", null];
    }
    if (job.state === "running") {
      const left = progress.iteration ? `about ${duration(progress.seconds_left)} left` : "";
      if (job.stopping) return [`${kind}: stopping`, "", null];
      if (!progress.iteration) return [`${kind}: preparing`, `takes about ${duration(progress.seconds_left)}`, null];
      return [`${kind}: ${percent(progress.fraction)}, iteration ${progress.iteration} of ${progress.iterations}`, left, progress.fraction];
    }
    const seconds = job.summary ? `${job.summary.width} × ${job.summary.height} px, ${duration(job.summary.seconds)} on ${job.network}` : "";
    if (job.state === "done") return [isDraft(job) ? "The draft is ready" : "The picture is finished", seconds, 1];
    if (job.state === "cancelled") return [`Stopped after ${progress.iteration} of ${progress.iterations} iterations`, seconds, progress.fraction];
    return [`${kind}: ${job.state}`, job.message || "", progress.fraction];
  }

  /** Tell a screen reader about beginnings, ends and quarters; every iteration would be too much. */
  #say(job) {
    if (!job) return;
    const quarter = Math.floor(4 * job.progress.fraction);
    const [text] = this.#words(job);
    const now = job.state === "running" ? `${job.id} ${quarter}` : `${job.id} ${job.state}`;
    if (now === this.said) return;
    this.said = now;
    say(job.state === "running" && quarter ? `${percent(quarter / 4)}` : text);
  }

  /** Draw the losses on a logarithmic scale. */
  #draw(course) {
    const points = course.filter(([, loss]) => loss > 0);
    this.curve.classList.toggle("is-empty", points.length < 3);
    if (points.length < 3) return;
    const [first, last] = [points[0][0], points.at(-1)[0]];
    const logs = points.map(([, loss]) => Math.log(loss));
    const [low, high] = [Math.min(...logs), Math.max(...logs)];
    const at = (index) => `${(100 * (points[index][0] - first)) / (last - first || 1)},${22 - (20 * (logs[index] - low)) / (high - low || 1)}`;
    this.path.setAttribute("points", points.map((_, index) => at(index)).join(" "));
  }
}

customElements.define("job-progress", JobProgress);
