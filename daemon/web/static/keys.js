// Keys for those who live on this page: j/k choose an incident, Enter opens it, a/s/l act on it, / searches, ? helps.
"use strict";

(() => {
  const help = document.getElementById("help");
  const asks = document.querySelector("[data-help]");
  let chosen = null; // id of the incident

  const rows = () => [...document.querySelectorAll("li.row[data-incident]")];
  const row = () => rows().find((each) => each.dataset.incident === chosen);

  function mark(move) {
    for (const each of document.querySelectorAll(".row.chosen")) each.classList.remove("chosen");
    const now = row();
    if (!now) return;
    now.classList.add("chosen");
    if (!move) return;
    now.focus({ preventScroll: true });
    now.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((each) => each.dataset.incident === chosen);
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1);
    chosen = all[next].dataset.incident;
    mark(true);
  }

  function press(kind) {
    const place = row() || document.querySelector("article.incident");
    const button = place && place.querySelector(`button[name=kind][value=${kind}]`);
    if (button && !button.disabled) button.click();
  }

  function label() {
    const comment = document.getElementById("comment");
    if (comment) comment.focus();
    else if (row()) location.assign(`${row().querySelector("a.sentence").href}#say`);
  }

  function open() {
    const link = row() && row().querySelector("a.sentence");
    if (link) location.assign(link.href);
  }

  const actions = {
    j: () => step(1),
    k: () => step(-1),
    a: () => press("acknowledge"),
    s: () => press("silence"),
    l: label,
    "/": () => document.getElementById("q").focus(),
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    const target = event.target;
    if (target.matches("input, select, textarea, [contenteditable]")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "Enter") {
      const own = target.closest("a, button, summary"); // what Enter does by itself, unless the list of keys was just closed
      if (!own || help.contains(own)) open();
      return;
    }
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  document.addEventListener("focusin", (event) => {
    const inside = event.target.closest("li.row[data-incident]");
    if (inside && inside.dataset.incident !== chosen) {
      chosen = inside.dataset.incident;
      mark(false);
    }
  });
  document.addEventListener("replaced", () => {
    mark(false);
    const now = row();
    if (now && document.activeElement === document.body) now.focus({ preventScroll: true });
  });
  help.addEventListener("close", () => mark(true));
  asks.hidden = false;
  asks.addEventListener("click", () => help.showModal());
  if (location.hash === "#say") document.getElementById("comment")?.focus();
})();
