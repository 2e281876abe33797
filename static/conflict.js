// Two versions of the same answers, side by side, and the choice between them. Knows the rating page's form and how its
// fields are named; what is sent and when is saving.js's.
"use strict";

// The server's words for entries as a form has them: [[name, value], ...].
function formEntries(stored) {
  return [
    ...Object.entries(stored.ratings).map(([token, value]) => [`rating-${token}`, String(value)]),
    ...(stored.best ? [["best", stored.best]] : []),
    ["cannot_judge", stored.cannot_judge],
    ["comment", stored.comment],
  ];
}

// What entries say, in words: [[name of the answer, words], ...]. The server makes the same rows where there is no script.
function answersIn(entries, form) {
  const value = new Map(entries);
  const picks = [...form.querySelectorAll("input[name=best]")];
  const letterOf = (pick) => pick?.closest("[data-card]").dataset.card;
  const reasons = [...form.elements.cannot_judge].filter((radio) => radio.value !== "");
  return [
    ...picks.map((pick) => [letterOf(pick), value.get(`rating-${pick.value}`)]),
    ["Best pick", letterOf(picks.find((pick) => pick.value === value.get("best")))],
    ["Cannot judge", reasons.find((radio) => radio.value === value.get("cannot_judge"))?.parentElement.textContent.trim()],
    ["Comment", value.get("comment")?.trim()],
  ].map(([name, words]) => [name, words || "–"]);
}

function conflictRow(name, theirs, mine) {
  const row = document.createElement("tr");
  row.classList.toggle("differs", theirs !== mine);
  const heading = document.createElement("th");
  heading.scope = "row";
  row.append(heading, document.createElement("td"), document.createElement("td"));
  [name, theirs, mine].forEach((words, index) => { row.cells[index].textContent = words; });
  return row;
}

function showConflict(panel, form, theirs, mine) {
  const here = answersIn(mine, form);
  const rows = answersIn(theirs, form).map(([name, words], index) => conflictRow(name, words, here[index][1]));
  document.getElementById("conflict-rows").replaceChildren(...rows);
  const isNew = panel.hidden;
  panel.hidden = false;
  if (isNew) panel.focus();
}

// Puts entries into the form, as if they had just been made.
function fill(form, entries) {
  const value = new Map(entries);
  for (const radio of form.querySelectorAll("input[type=radio]")) radio.checked = value.get(radio.name) === radio.value;
  form.elements.comment.value = value.get("comment") ?? "";
  for (const aside of form.querySelectorAll(".aside")) aside.open ||= Boolean(value.get(aside.querySelector("[name]").name));
}
