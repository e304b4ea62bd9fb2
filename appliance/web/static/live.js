// Fetches parts of the page again when they changed.  A part says what it shows: data-live="phaser360 office", or "*"
// for the whole house; with data-live-any it is fetched whatever changed.  htmx does the fetching (hx-trigger="live").
"use strict";
(() => {
  const address = document.body.dataset.liveFrom;
  if (!address || !document.querySelector("[data-live]")) return;
  const REST = 2000; // milliseconds between two refreshes, however much happens
  let source = null;
  let waiting = new Set();
  let timer = 0;

  const shows = (part, names) => {
    const own = (part.dataset.live || "").split(" ");
    return "liveAny" in part.dataset || names.some((name) => name === "*" || own.includes(name));
  };
  const changed = (names) => {
    names.forEach((name) => waiting.add(name));
    if (timer) return;
    refresh();
    timer = setTimeout(() => {
      timer = 0;
      if (waiting.size) changed([]);
    }, REST);
  };
  const refresh = () => {
    const names = [...waiting];
    waiting = new Set();
    for (const part of document.querySelectorAll("[data-live]")) {
      // Nobody's typing is taken away.
      if (shows(part, names) && !part.querySelector("input:focus, textarea:focus, select:focus")) {
        htmx.trigger(part, "live");
      }
    }
  };
  const REFUSED = 30000; // milliseconds until a stream that was refused is asked for again
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("changed", (event) => changed(JSON.parse(event.data)));
    source.addEventListener("over", () => window.location.reload()); // the session ended
    source.addEventListener("error", () => {
      if (!source || source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      close();
      changed(["*"]); // what changed until now; and whoever is no longer logged in is led to the login
      setTimeout(open, REFUSED);
    });
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  // A button that somebody is pressing stays under his finger; all is fetched again when he has let go.
  const pressed = (target) => {
    if (!target || !target.querySelector(":active")) return false;
    setTimeout(() => changed(["*"]), 500);
    return true;
  };
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (pressed(event.detail.target)) event.detail.shouldSwap = false;
  });
  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    const fresh = fragment.firstElementChild;
    // What is the same is left alone: screen readers would read it out again.
    const same = target && fresh && target.innerHTML.trim() === fresh.innerHTML.trim();
    if (same || pressed(target)) event.detail.shouldSwap = false;
  });
  // Not before htmx knows the parts, which is then: the first word is said once.
  document.addEventListener("DOMContentLoaded", () => {
    // Browsers open few connections to one server: a page that nobody looks at needs none.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) close();
      else open();
    });
    open();
  });
})();
