// Keeps the page up to date. The server says that something changed; the page is fetched anew and the parts that differ
// are put in place. Where nothing is heard any more, the page says so and greys out.
"use strict";

(() => {
  const QUIET_MS = 7000; // the server speaks every 2 s
  const GRACE_MS = 3000; // a connection that broke is usually back at once
  const body = document.body;
  const lost = document.getElementById("lost");
  const note = document.getElementById("note");
  const announce = document.getElementById("announce");
  let events = null;
  let heard = performance.now();
  let heardAt = new Date();
  let brokenAt = null;
  let fetching = false;
  let again = false;
  let version = null;

  const openParts = () => new Set([...document.querySelectorAll("details[open][id]")].map((part) => part.id));

  function replace(fresh) {
    const focused = document.activeElement && document.activeElement.id;
    const opened = openParts();
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (!old) {
        location.reload();
        return;
      }
      for (const details of part.querySelectorAll("details[id]")) details.open = opened.has(details.id);
      if (old.outerHTML !== part.outerHTML) old.replaceWith(document.importNode(part, true));
    }
    body.classList.toggle("stale", fresh.body.classList.contains("stale"));
    body.classList.toggle("current", fresh.body.classList.contains("current"));
    document.title = fresh.title;
    const target = focused && document.getElementById(focused);
    if (target && target !== document.activeElement) target.focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("replaced"));
  }

  function say(text) {
    const counts = document.querySelector("#counts .count");
    const now = counts ? counts.textContent.trim() : "";
    if (text !== now) announce.textContent = now;
  }

  async function refresh() {
    if (fetching) {
      again = true;
      return;
    }
    fetching = true;
    const before = document.querySelector("#counts .count")?.textContent.trim();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (fresh.body.dataset.boot && fresh.body.dataset.boot !== body.dataset.boot) {
        if (!typing()) location.reload(); // the daemon was started anew, perhaps with another page
      } else if (answer.ok) {
        replace(fresh);
        say(before);
      }
    } catch {
      broke();
    } finally {
      fetching = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function typing() {
    return [...document.querySelectorAll("main input:not([type=hidden]), main textarea")].some((field) => field.value !== field.defaultValue);
  }

  function listen() {
    if (events) events.close();
    events = new EventSource("/events");
    events.addEventListener("change", changed);
    events.addEventListener("tick", changed);
    events.addEventListener("beat", alive);
    events.addEventListener("error", () => {
      broke();
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, GRACE_MS);
    });
  }

  function alive() {
    heard = performance.now();
    heardAt = new Date();
    brokenAt = null;
    if (!body.classList.contains("lost")) return;
    body.classList.remove("lost");
    lost.hidden = true;
    for (const button of document.querySelectorAll("main button[data-held]")) {
      button.disabled = false;
      delete button.dataset.held;
    }
    refresh();
  }

  function changed(event) {
    alive();
    const said = JSON.parse(event.data).version;
    if (event.type === "tick" || said !== version) refresh();
    version = said;
  }

  function broke() {
    if (brokenAt === null) brokenAt = performance.now();
  }

  function watch() {
    if (document.hidden) return;
    const now = performance.now();
    const silent = now - heard > QUIET_MS;
    const broken = brokenAt !== null && now - brokenAt > GRACE_MS;
    if (!silent && !broken && !body.classList.contains("lost")) return;
    const seconds = Math.round((now - heard) / 1000);
    lost.textContent = `Connection lost. What you see is from ${heardAt.toLocaleTimeString()} of this computer's clock, ${seconds} s ago. Trying again.`;
    if (body.classList.contains("lost")) return;
    body.classList.add("lost");
    lost.hidden = false;
    for (const button of document.querySelectorAll("main button:not(:disabled)")) {
      button.disabled = true;
      button.dataset.held = "";
    }
  }

  async function submit(event) {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
    event.preventDefault();
    const sent = new URLSearchParams(new FormData(form, event.submitter));
    const button = event.submitter;
    if (button) button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: sent, headers: { Accept: "text/html" } });
      if (!answer.redirected) {
        // A name or a token is missing, or it was refused: the answer says so as a page of its own.
        const plain = document.createElement("input");
        plain.type = "hidden";
        plain.name = "kind";
        plain.value = sent.get("kind");
        form.append(plain);
        form.submit();
        return;
      }
      const waits = new URL(answer.url).searchParams.has("said");
      tell(waits ? "Handed over. It shows here as soon as the daemon has taken it in." : "Noted.");
      const comment = form.querySelector("[name=comment]");
      if (comment) comment.value = comment.defaultValue;
      const name = form.querySelector("[name=who]");
      if (name) name.defaultValue = name.value;
      await refresh();
    } catch {
      tell("Not sent: there is no connection to shiftwatch.");
      broke();
    } finally {
      if (button) button.disabled = false;
    }
  }

  let hiding = 0;
  function tell(text) {
    note.textContent = text;
    note.hidden = false;
    clearTimeout(hiding);
    hiding = setTimeout(() => { note.hidden = true; }, 8000);
  }

  document.addEventListener("submit", submit);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (events) events.close();
      return;
    }
    heard = performance.now();
    listen();
    refresh();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  addEventListener("pagehide", () => { if (events) events.close(); });
  setInterval(watch, 1000);
  listen();
})();
