// How long one has been rating, and a word when a break is due. A pause of ten minutes begins a new session.
import { gettext, interpolate } from "./i18n.js";
import { toast } from "./toast.js";

const STORAGE = "feedbackhub-session";
const PAUSE_MS = 10 * 60_000;
const BREAK_MS = 45 * 60_000;
const place = document.getElementById("session-time");
let session = { began: Date.now(), seen: Date.now(), reminded: 0, ...stored() };

function stored() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORAGE));
    return kept && Date.now() - kept.seen < PAUSE_MS ? kept : null;
  } catch {
    return null;
  }
}

/** Something was judged. */
export function atWork() {
  const now = Date.now();
  if (now - session.seen > PAUSE_MS) session = { began: now, seen: now, reminded: 0 };
  session.seen = now;
  try {
    sessionStorage.setItem(STORAGE, JSON.stringify(session));
  } catch {
    // counted for this page only
  }
  show();
}

function show() {
  const minutes = Math.floor((Date.now() - session.began) / 60_000);
  place.textContent = minutes ? `${minutes} min` : "";
  const due = Math.floor((Date.now() - session.began) / BREAK_MS);
  if (due > session.reminded) {
    session.reminded = due;
    const words = gettext("You have rated for %(minutes)s minutes. A short break keeps judgments good.");
    toast(interpolate(words, { minutes }), { timeout: 20_000 });
  }
}

setInterval(() => Date.now() - session.seen < PAUSE_MS && show(), 30_000);
show();
