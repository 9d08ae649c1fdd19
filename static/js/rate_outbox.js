// Judgments on their way to the server, one after the other, each kept (in this browser) until the server has answered.
// What was tried once is tried again with the same key until there is an answer: the server makes one judgment of it.

import { gettext, interpolate } from "./i18n.js";

const PAUSES_MS = [300, 1000, 2000, 4000, 8000, 15000];
const AWAITED_MS = 2000; // at most, where the rater has nothing to do until there is an answer

// --- Kept in the browser, twice -------------------------------------------------------------------------------------
// localStorage at once, one item an entry: there before anything is sent, whatever becomes of this page in the next
// moment, and there at once for the page that comes after. IndexedDB, table "unsent" {id, rater, url, body}, a moment
// later: on the disk, and with room for what the former has none for.

const itemsOf = (rater) => `feedbackhub-unsent-${rater}-`;

function keepAtHand({ id, url, body, rater }) {
  try {
    localStorage.setItem(itemsOf(rater) + id, JSON.stringify({ id, url, body }));
  } catch {
    // no room, or not allowed: the other has it in a moment
  }
}

function forgetAtHand({ id, rater }) {
  try {
    localStorage.removeItem(itemsOf(rater) + id);
  } catch {
    // nothing was kept here
  }
}

function atHand(rater) {
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(itemsOf(rater)));
    return names.map((name) => JSON.parse(localStorage.getItem(name)));
  } catch {
    return [];
  }
}

let database = null;

function openDatabase() {
  database ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("feedbackhub", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("unsent", { keyPath: "id" }).createIndex("rater", "rater");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  return database;
}

/** The result of a request in a transaction of its own; undefined where the browser keeps nothing: then only the page,
 * which asks before it is left, has what is unsent. Transactions are done in the order in which they are asked for. */
async function stored(mode, request) {
  try {
    const transaction = (await openDatabase()).transaction("unsent", mode, { durability: "strict" });
    const asked = request(transaction.objectStore("unsent"));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    return undefined;
  }
}

// --- To the server --------------------------------------------------------------------------------------------------

/** The CSRF token of now: a new sign-in changes it while a judgment waits. */
function csrfToken() {
  const cookie = document.cookie.split("; ").find((part) => part.startsWith("csrftoken="));
  return cookie?.slice("csrftoken=".length) ?? document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
}

/** POST as a script of the page. Resolves with {response, html, done}; throws Unreached when there was no real answer. */
export async function post(url, body) {
  let response;
  let html;
  try {
    response = await fetch(url, {
      method: "POST",
      body: new URLSearchParams(body),
      headers: { "HX-Request": "true", "X-CSRFToken": csrfToken() },
    });
    html = await response.text();
  } catch {
    throw new Unreached("offline");
  }
  if (response.redirected || response.status === 403) throw new Unreached("signed-out");
  if (response.status >= 500) throw new Unreached("failing");
  const trigger = response.headers.get("HX-Trigger");
  return { response, html, done: trigger ? JSON.parse(trigger)["rating:done"] : null };
}

/** No answer of the application's own. reason: offline, signed-out or failing. */
export class Unreached extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The words of a refusal. */
export function refusal(html, status) {
  try {
    return JSON.parse(html).detail;
  } catch {
    return interpolate(gettext("The server refused it (%(status)s)."), { status });
  }
}

/**
 * An entry is {id, url, body: [[name, value]], then: () => string} and whatever its maker needs.
 * onAnswer(entry, answer) and onRefusal(entry, words) end it; onState({waiting, reason}) tells how things stand;
 * onRestore(entry) gives an entry of an earlier page its `then`; isAwaited() says whether the rater waits for an answer.
 */
export class Outbox {
  constructor(rater, { onAnswer, onRefusal, onState, onRestore, isAwaited }) {
    this.rater = rater;
    this.entries = [];
    this.known = new Set(); // ids of entries of this page, sent or not: the disk may be slower than the server
    this.handlers = { onAnswer, onRefusal, onState, onRestore, isAwaited };
    this.working = false;
    this.misses = 0;
    for (const wake of ["online", "focus"]) window.addEventListener(wake, () => this.work());
  }

  push(entry) {
    this.entries.push(entry);
    this.known.add(entry.id);
    this.keep(entry);
    this.work();
  }

  /** Take back what was never tried; false when the server may have it already. */
  cancel(entry) {
    if (entry.tried) return false;
    this.forget(entry);
    this.state();
    return true;
  }

  /** What an earlier page could not send: what is at hand before this returns, what the disk alone has later. */
  async restore() {
    this.takeUp(atHand(this.rater));
    this.takeUp((await stored("readonly", (unsent) => unsent.index("rater").getAll(this.rater))) ?? []);
  }

  takeUp(kept) {
    for (const { id, url, body } of kept) {
      if (this.known.has(id)) continue;
      this.known.add(id);
      const entry = { id, url, body, earlier: true, tried: true };
      this.entries.push(entry);
      this.handlers.onRestore(entry);
    }
    if (this.entries.length) this.work();
  }

  keep({ id, url, body }) {
    const entry = { id, url, body, rater: this.rater };
    keepAtHand(entry);
    stored("readwrite", (unsent) => unsent.put(entry));
  }

  forget({ id }) {
    this.entries = this.entries.filter((entry) => entry.id !== id);
    forgetAtHand({ id, rater: this.rater });
    stored("readwrite", (unsent) => unsent.delete(id));
  }

  state(reason = null) {
    this.handlers.onState({ waiting: this.entries.length, reason });
  }

  async work() {
    clearTimeout(this.timer);
    if (this.working) return;
    this.working = true;
    while (this.entries.length) {
      const entry = this.entries[0];
      entry.tried = true;
      this.state();
      try {
        const answer = await post(`${entry.url}?then=${entry.then()}`, entry.body);
        this.misses = 0;
        this.forget(entry);
        if (answer.response.ok) this.handlers.onAnswer(entry, answer);
        else this.handlers.onRefusal(entry, refusal(answer.html, answer.response.status));
      } catch (error) {
        if (!(error instanceof Unreached)) throw error;
        const pause = PAUSES_MS[Math.min(this.misses, PAUSES_MS.length - 1)];
        this.misses += 1;
        this.timer = setTimeout(() => this.work(), this.handlers.isAwaited() ? Math.min(pause, AWAITED_MS) : pause);
        this.working = false;
        this.state(error.reason);
        return;
      }
    }
    this.working = false;
    this.state();
  }
}
