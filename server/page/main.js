// Puts the page together: what the user does becomes calls of the session, and its events become what is seen.

import "/page/compare.js";
import "/page/progress.js";
import "/page/slot.js";
import { getBlob, getJson } from "/page/api.js";
import { find, h, say } from "/page/dom.js";
import { download, FORMATS } from "/page/download.js";
import { watchDrops } from "/page/drop.js";
import { readRecord } from "/page/embedded.js";
import { Form } from "/page/form.js";
import { titleOf } from "/page/gallery.js";
import { watchKey } from "/page/key.js";
import { dismiss, notice, trouble } from "/page/notices.js";
import { buildPanel } from "/page/panel.js";
import { fromFile, fromServer, stem } from "/page/pictures.js";
import { isDraft, isEnded, Session } from "/page/session.js";
import { Stream } from "/page/stream.js";
import { example, EXAMPLES } from "/page/styles.js";
import { watchTheme } from "/page/themes.js";
import { dimensions, duration, percent } from "/page/words.js";

const KEPT = "impasto-form";

watchTheme(find("#theme"));
watchKey();
watchJumps();
start().catch((error) => trouble(error, ["Try again", () => location.reload()]));

async function start() {
  const [description, { networks, provider }] = await Promise.all([getJson("/v1/settings"), getJson("/v1/networks")]);
  const form = new Form(description, networks);
  const stream = new Stream();
  const session = new Session(form, stream);
  form.load(JSON.parse(sessionStorage.getItem(KEPT) || "null"));
  find("#provider").textContent = provider;
  const showPanel = buildPanel(find("#settings"), form);
  const slots = { content: find("#slot-content"), style: find("#slot-style") };
  const gallery = find("render-gallery"), styles = find("style-gallery");

  const put = async (name, file, text) => session.setPicture(name, await fromFile(file, text));
  const fetchInto = (name, path, text) => fromServer(path, text).then((picture) => session.setPicture(name, picture), trouble);
  const open = async (id, isNew = true) => {
    try {
      await session.open(id);
      if (isNew && location.hash !== `#${id}`) history.pushState(null, "", `#${id}`);
    } catch (error) {
      if (!isNew) history.replaceState(null, "", location.pathname);
      trouble(error.status === 404 ? new Error("This picture is not on the server any more.") : error);
    }
  };
  const restore = (record, file) => {
    form.restore(record.settings);
    notice(`The settings of ${file.name} are restored.`, { action: ["Use it as the photo", () => put("content", file)] });
  };
  const clear = () => {
    session.clear();
    history.pushState(null, "", location.pathname);
  };

  // What the user does.
  for (const [name, slot] of Object.entries(slots)) {
    slot.addEventListener("chosen", ({ detail }) => put(name, detail));
    slot.addEventListener("cleared", () => session.setPicture(name, null));
  }
  slots.style.addEventListener("keep", () => styles.keep(session.style, form));
  styles.addEventListener("choose", ({ detail }) => fetchInto("style", detail.path, detail.name));
  gallery.addEventListener("open", ({ detail }) => {
    open(detail);
    find("#stage").scrollIntoView({ block: "start" });
    find("#stage").focus({ preventScroll: true });
  });
  gallery.addEventListener("erased", ({ detail }) => session.job?.id === detail && clear());
  for (const place of [gallery, styles, session]) place.addEventListener("trouble", ({ detail }) => trouble(detail));
  form.addEventListener("change", () => {
    sessionStorage.setItem(KEPT, JSON.stringify(form.kept));
    session.draftSoon();
    showActions();
  });
  find("#finish").addEventListener("click", () => session.send("finish"));
  find("#stop").addEventListener("click", () => session.stop());
  find("#longer").addEventListener("click", () => session.paintLonger());
  find("#clear").addEventListener("click", () => {
    clear();
    slots.content.button.focus();
  });
  find("#download").addEventListener("click", () => download(session.job, find("#format").value).catch(trouble));
  find("#format").append(...Object.entries(FORMATS).map(([value, [text]]) => h("option", { value }, text)));
  find("#redraft").addEventListener("click", () => session.send("draft"));
  find("#choose-content").addEventListener("click", () => slots.content.choose());
  find("#choose-style").addEventListener("click", () => slots.style.choose());
  find("#from-file").addEventListener("click", () => find("#from-file-input").click());
  find("#from-file-input").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    const record = file && (await readRecord(file));
    if (record) restore(record, file);
    else if (file) notice(`${file.name} holds no settings: impasto did not write it, or they were lost when it was edited.`, { kind: "error" });
  });
  window.addEventListener("popstate", () => (namedJob() ? open(namedJob(), false) : session.clear()));
  watchDrops(slots, {
    put,
    open,
    use: async (name, id) => put(name, await getBlob(`/v1/renders/${id}/result`).catch(trouble), "result.png"),
    restore,
    refuse: (text) => notice(text, { kind: "error" }),
  });

  // What is seen.
  const showPictures = () => {
    for (const [name, slot] of Object.entries(slots)) slot.show(session[name]);
    showPanel();
    showStage();
  };
  const showStage = () => {
    const isEmpty = !session.content && !session.style && !session.job;
    const hadFocus = find("#empty").contains(document.activeElement);
    find("#empty").hidden = !isEmpty;
    if (!isEmpty && hadFocus) (session.isReady || session.job ? find("#stage") : slots[session.content ? "style" : "content"].button).focus();
    const view = find("compare-view");
    view.hidden = !session.content && !session.pictureUrl;
    const text = session.job ? `${titleOf(session.job)}${isEnded(session.job) ? "" : ", so far"}` : "";
    view.show({ before: session.content?.width ? session.content.url : null, after: session.pictureUrl, text });
    find("#hint").hidden = isEmpty || session.isReady;
    find("#hint").textContent = session.content ? "Now choose a painting, on the right or from the styles below." : "Now choose a photo.";
    showActions();
  };
  const showActions = () => {
    const { job } = session;
    const focused = find("#actions").contains(document.activeElement) && document.activeElement;
    const isFinishing = session.isRunning && !isDraft(job);
    find("#actions").hidden = !session.isReady && !job;
    find("#finish").hidden = isFinishing || session.isFinished;
    find("#finish").disabled = !session.isReady || (session.isSending && !job);
    const isLarger = form.best !== form.fast ? ` on ${form.best.name}` : "";
    find("#finish-facts").hidden = isFinishing || session.isFinished;
    find("#download").classList.toggle("primary", session.isFinished);
    find("#finish-facts").textContent = `${dimensions(form.longSide, form.ratio)}${isLarger}, about ${duration(form.finishSeconds)}`;
    find("#stop").hidden = !session.isRunning;
    find("#stop").disabled = Boolean(job?.stopping);
    find("#longer").hidden = !(job && isEnded(job) && job.resumable && !isDraft(job));
    find("#save").hidden = !job?.links.result;
    find("#stale").hidden = !(isFinishing && session.isStale);
    find("job-progress").show(session);
    if (focused && (focused.disabled || !focused.offsetParent)) passFocus();
    showFailure(job);
    document.title = job ? `${session.isRunning ? `${percent(job.progress.fraction)} · ` : ""}${titleOf(job)} · impasto` : "impasto";
  };
  /** A button that was pressed may go: the focus moves to the next one that is there. */
  const passFocus = () => {
    const others = [...find("#actions").querySelectorAll("button")].filter((button) => button.offsetParent && !button.disabled);
    (others[0] || find("#stage")).focus();
  };
  const showFailure = (job) => {
    const hasFailed = job && ["failed", "quarantined"].includes(job.state);
    if (!hasFailed) dismiss("failure");
    else if (!find('[data-notice="failure"]')) {
      const again = ["Try again", () => session.send(isDraft(job) ? "draft" : "finish")];
      notice(`The picture could not be painted: ${job.message || "the server has no more to say"}.`.replace("..", "."), { kind: "error", action: again, id: "failure" });
    }
  };
  session.addEventListener("pictures", showPictures);
  session.addEventListener("picture", showStage);
  session.addEventListener("job", showActions);
  session.addEventListener("ended", async () => {
    form.learn((await getJson("/v1/networks").catch(() => ({ networks: [] }))).networks);
    showPanel();
    showActions();
  });
  session.addEventListener("sent", ({ detail }) => {
    history.replaceState(null, "", `#${detail.id}`);
    gallery.reloadSoon();
  });
  stream.addEventListener("connection", ({ detail }) => {
    find("#away").hidden = detail;
    if (!detail) say("The connection to the server is lost. Trying again.");
  });

  showExamples((style) => {
    fetchInto("content", example(EXAMPLES.content), EXAMPLES.content);
    fetchInto("style", example(style), style);
  });
  showPictures();
  gallery.follow(stream);
  styles.reload();
  stream.start();
  gallery.reload();
  if (namedJob()) await open(namedJob(), false);
  document.body.dataset.ready = "true";
}

/** The job that the address names, or null. */
const namedJob = () => (location.hash.startsWith("#r_") ? location.hash.slice(1) : null);

/** Links within the page keep the address, which names the job. */
function watchJumps() {
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const target = find(link.getAttribute("href"));
      target.scrollIntoView({ block: "start" });
      target.focus({ preventScroll: true });
    });
  }
}

function showExamples(choose) {
  for (const style of EXAMPLES.styles) {
    const pictures = [EXAMPLES.content, style].map((name) => h("img", { src: example(name), alt: "" }));
    const text = `${stem(EXAMPLES.content)} + ${stem(style)}`;
    find("#examples").append(h("li", {}, h("button", { type: "button", class: "example", onclick: () => choose(style) }, h("span", { class: "pair" }, ...pictures), h("span", {}, text))));
  }
}
