// The rating page's comforts: keys, what is still missing, no double submit, a warning before entries are lost.
// Everything works without this file: the form is a plain form and the server checks it again.
"use strict";

const form = document.getElementById("judgement");
const cards = [...form.querySelectorAll("[data-card]")];
const submit = document.getElementById("submit");
const missingLine = document.getElementById("missing");
const keyList = document.getElementById("keys");
const keysSwitch = document.getElementById("keys-on");
const KEYS_OFF = "neuronjury.keys-off";

const ratingOf = (card) => card.querySelector(".scale input:checked");
const bestPick = () => form.querySelector("input[name=best]:checked");
const unrated = () => cards.filter((card) => !ratingOf(card));

// What is missing ------------------------------------------------------------------------------------------------

function missingWords() {
  const n = unrated().length;
  const ratings = n === 0 ? "" : n === 1 ? "1 rating" : `${n} ratings`;
  if (ratings && !bestPick()) return `${ratings} and the best pick are missing.`;
  if (ratings) return `${ratings} ${n === 1 ? "is" : "are"} missing.`;
  return bestPick() ? "Complete." : "The best pick is missing.";
}

const isComplete = () => unrated().length === 0 && bestPick() !== null;

function showMissing() {
  missingLine.textContent = missingWords();
}

// The current card: the one that keys act on -----------------------------------------------------------------------

let current = Math.max(0, cards.findIndex((card) => !ratingOf(card)));

function mark(index) {
  current = index;
  cards.forEach((card, i) => card.classList.toggle("is-current", i === index));
}

function goTo(index) {
  if (index < 0 || index >= cards.length) return;
  mark(index);
  cards[index].focus();
}

function afterRating() {
  if (current + 1 < cards.length) return goTo(current + 1);
  if (unrated().length > 0) return goTo(cards.indexOf(unrated()[0]));
  if (isComplete()) submit.focus();
}

function choose(radio) {
  radio.checked = true;
  showMissing();
}

// Keys -------------------------------------------------------------------------------------------------------------

function rate(key) {
  choose(cards[current].querySelector(`.scale input[value="${key}"]`));
  afterRating();
}

function pickBest() {
  choose(cards[current].querySelector("input[name=best]"));
  if (isComplete()) submit.focus();
  else cards[current].focus();
}

// Up and down would scroll the excerpts: they move between cards only from within the cards. Enter keeps its own meaning
// on links, buttons and "show more".
function actionOf(event) {
  const isOnCard = event.target.closest("[data-card]") !== null;
  const isOnControl = event.target.closest("a, button, summary") !== null;
  switch (event.key) {
    case "1": case "2": case "3": case "4": case "5": return () => rate(event.key);
    case "j": return () => goTo(current + 1);
    case "k": return () => goTo(current - 1);
    case "ArrowDown": return isOnCard ? () => goTo(current + 1) : null;
    case "ArrowUp": return isOnCard ? () => goTo(current - 1) : null;
    case "b": return pickBest;
    case "?": return () => keyList.showModal();
    case "Enter": return isOnControl ? null : () => form.requestSubmit();
    default: return null;
  }
}

function onKey(event) {
  if (!keysSwitch.checked || keyList.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  action();
}

// Sending and leaving ----------------------------------------------------------------------------------------------

const entries = () => JSON.stringify([...form.querySelectorAll("input:checked")].map((input) => [input.name, input.value]));
let savedEntries = entries();
let isSending = false;

function onSubmit(event) {
  if (isSending) return event.preventDefault();
  if (!isComplete()) {
    event.preventDefault();
    missingLine.classList.add("is-urgent");
    return goTo(unrated().length > 0 ? cards.indexOf(unrated()[0]) : current);
  }
  isSending = true;
  submit.disabled = true;
}

function onLeave(event) {
  if (!isSending && ("unsaved" in form.dataset || entries() !== savedEntries)) event.preventDefault();
}

// Back may restore this page as it was left, in the middle of sending: make it usable again.
function onReturn(event) {
  if (!event.persisted) return;
  isSending = false;
  submit.disabled = false;
}

// Start ------------------------------------------------------------------------------------------------------------

cards.forEach((card, index) => {
  card.tabIndex = -1;
  card.addEventListener("focusin", () => mark(index));
});
keysSwitch.checked = localStorage.getItem(KEYS_OFF) === null;
keysSwitch.addEventListener("change", () =>
  keysSwitch.checked ? localStorage.removeItem(KEYS_OFF) : localStorage.setItem(KEYS_OFF, "1"));

const showKeys = document.getElementById("show-keys");
showKeys.hidden = false;
showKeys.addEventListener("click", () => keyList.showModal());

// The browser's own message for a missing choice would point at one radio button; ours names all that is missing.
form.noValidate = true;
form.addEventListener("change", showMissing);
form.addEventListener("submit", onSubmit);
document.addEventListener("keydown", onKey);
addEventListener("beforeunload", onLeave);
addEventListener("pageshow", onReturn);
mark(current);
// A judged neuron comes complete, with the server's own words about changing it.
if (!isComplete()) showMissing();
