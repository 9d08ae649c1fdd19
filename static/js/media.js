// Pictures and videos seen large: a click on one, or V on the rating page; ← and → go from one answer's to the next.
import { gettext } from "./i18n.js";

const SHOWN = "[data-media]";
let viewer = null;
let shown = []; // the elements whose pictures and videos can be gone through
let at = 0;

function makeViewer() {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog media-viewer";
  dialog.setAttribute("aria-labelledby", "media-title");
  dialog.innerHTML = `
    <div class="dialog-head"><h2 id="media-title" aria-live="polite"></h2>
      <div class="row">
        <button type="button" class="btn btn-quiet btn-small" data-step="-1" data-key="ArrowLeft"><span data-word="previous"></span> <kbd>←</kbd></button>
        <button type="button" class="btn btn-quiet btn-small" data-step="1" data-key="ArrowRight"><span data-word="next"></span> <kbd>→</kbd></button>
        <button type="button" class="btn btn-quiet btn-small" data-play data-key="p"><span data-word="play"></span> <kbd>P</kbd></button>
        <form method="dialog"><button class="btn btn-quiet btn-small" data-key="v"><span data-word="close"></span> <kbd>Esc</kbd></button></form>
      </div></div>
    <div class="media-stage"></div>
    <p class="media-caption" hidden></p>`;
  const words = { previous: gettext("Previous"), next: gettext("Next"), play: gettext("Play"), close: gettext("Close") };
  for (const place of dialog.querySelectorAll("[data-word]")) place.textContent = words[place.dataset.word];
  dialog.addEventListener("click", ({ target }) => {
    const step = target.closest("[data-step]")?.dataset.step;
    if (step) show(at + Number(step));
    else if (target.closest("[data-play]")) play();
    else if (target === dialog || target.classList.contains("media-stage")) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.querySelector(".media-stage").replaceChildren(); // a video stops
    shown[at]?.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  return dialog;
}

function play() {
  const video = viewer.querySelector("video");
  if (video?.paused) video.play();
  else video?.pause();
}

function show(index) {
  at = (index + shown.length) % shown.length;
  const element = shown[at];
  const isImage = element.dataset.media === "image";
  const large = document.createElement(isImage ? "img" : "video");
  const caption = isImage ? element.querySelector("img").alt : element.getAttribute("aria-label");
  large.src = isImage ? element.href : element.src;
  if (isImage) large.alt = caption;
  else {
    Object.assign(large, { controls: true, playsInline: true });
    large.setAttribute("aria-label", caption);
    element.pause();
  }
  viewer.querySelector(".media-stage").replaceChildren(large);
  const place = shown.length > 1 ? ` · ${at + 1} of ${shown.length}` : "";
  viewer.querySelector("#media-title").textContent = element.dataset.mediaName + place;
  Object.assign(viewer.querySelector(".media-caption"), { textContent: caption, hidden: !caption });
  for (const button of viewer.querySelectorAll("[data-step]")) button.hidden = shown.length < 2;
  viewer.querySelector("[data-play]").hidden = isImage;
}

/** Open one of the page's pictures or videos large, with those of its task or section to go on to. */
function openMedia(element) {
  viewer ??= makeViewer();
  const around = element.closest(".rate-task, .said, main");
  shown = [...around.querySelectorAll(SHOWN)].filter((one) => one.checkVisibility());
  show(shown.indexOf(element));
  if (!viewer.open) viewer.showModal();
}

document.addEventListener("click", (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const element = event.target.closest?.("a[data-media]");
  if (element) {
    event.preventDefault();
    openMedia(element);
  }
  const task = event.target.closest?.("[data-media-open]")?.closest(".rate-task");
  const first = task?.querySelector(`form ${SHOWN}`) ?? task?.querySelector(SHOWN);
  if (first) openMedia(first);
});
