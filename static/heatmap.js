// Heatmaps: one tab stop per excerpt, arrow keys between its coloured tokens. Without this script every coloured token is a tab stop.
"use strict";

const tokensOf = (excerpt) => [...excerpt.querySelectorAll("mark[tabindex]")];

function keepOneTabStop(excerpt) {
  tokensOf(excerpt).forEach((token, index) => { token.tabIndex = index === 0 ? 0 : -1; });
}

function moveTo(token) {
  for (const other of tokensOf(token.closest(".heat"))) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus();
}

document.addEventListener("keydown", (event) => {
  const excerpt = event.target.closest?.(".heat");
  if (!excerpt || event.ctrlKey || event.metaKey || event.altKey) return;
  const tokens = tokensOf(excerpt);
  const index = tokens.indexOf(event.target);
  const wanted = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tokens.length - 1 }[event.key];
  if (wanted === undefined || !tokens[wanted]) return;
  event.preventDefault();
  moveTo(tokens[wanted]);
});

document.addEventListener("click", (event) => {
  const token = event.target.closest?.(".heat mark[tabindex]");
  if (token) moveTo(token);
});

for (const excerpt of document.querySelectorAll(".heat")) keepOneTabStop(excerpt);

// Excerpts that htmx brings in later.
document.addEventListener("htmx:load", (event) => {
  for (const excerpt of event.target.querySelectorAll(".heat")) keepOneTabStop(excerpt);
  // The link that asked for them is gone; whoever used the keyboard goes on at the first of them.
  if (event.target.matches(".excerpt") && document.activeElement === document.body) {
    event.target.tabIndex = -1;
    event.target.focus({ preventScroll: true });
  }
});
