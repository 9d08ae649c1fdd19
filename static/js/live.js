// A WebSocket that comes back: waits 0.5 s, then twice as long each time, to 15 s, with some chance in it, and shows its state.

import { gettext } from "./i18n.js";

const FIRST_MS = 500;
const LONGEST_MS = 15000;
const REFUSED = 4403; // core/live.py: this connection may not watch; asking again would not help
const WORDS = {
  connecting: gettext("Connecting…"),
  open: gettext("Live"),
  waiting: gettext("Reconnecting…"),
  refused: gettext("Not allowed to watch"),
  closed: gettext("Not live"),
};

/**
 * Watch `path` ("/ws/…"). onMessage(payload) gets each message parsed (not the greeting);
 * onState(state, {again}) gets connecting, open, waiting, refused, closed. `again` is true when it is open after a
 * break: what was pushed meanwhile is lost, so read the state anew. indicator: an element (class "live") that shows the state.
 * Returns {close, state()}.
 */
export function connect(path, { onMessage = () => {}, onState = () => {}, indicator = null } = {}) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  let state = "";
  let socket = null;
  let tries = 0;
  let opened = false;
  let timer;

  function become(next, detail = {}) {
    state = next;
    if (indicator) {
      indicator.dataset.state = next;
      indicator.textContent = WORDS[next];
    }
    onState(next, detail);
  }

  function open() {
    clearTimeout(timer);
    become(tries ? "waiting" : "connecting");
    socket = new WebSocket(url);
    socket.onmessage = ({ data }) => {
      const payload = JSON.parse(data);
      if (payload.type !== "hello") return onMessage(payload);
      tries = 0;
      become("open", { again: opened });
      opened = true;
    };
    socket.onclose = ({ code }) => {
      if (state === "closed") return;
      if (code === REFUSED) return become("refused");
      become("waiting");
      const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** tries++);
      timer = setTimeout(open, wait * (0.75 + Math.random() / 2));
    };
  }

  // The network or the reader is back: do not sit out the wait.
  const hurry = () => {
    if (state === "waiting" && socket.readyState === WebSocket.CLOSED && !document.hidden) open();
  };
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  window.addEventListener("pagehide", close);
  // A page out of the back/forward cache has no socket any more.
  const returned = ({ persisted }) => {
    if (persisted && state === "closed") location.reload();
  };
  window.addEventListener("pageshow", returned);

  function close() {
    clearTimeout(timer);
    become("closed");
    socket?.close();
    window.removeEventListener("online", hurry);
    document.removeEventListener("visibilitychange", hurry);
    window.removeEventListener("pagehide", close);
  }

  open();
  return { close, state: () => state };
}
