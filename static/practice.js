// The keys of the rating page on a practice page, so that they are known when it counts. Nothing is saved on the way.
"use strict";

const form = document.getElementById("practice");
const cards = [...form.querySelectorAll("[data-card]")];
const button = form.querySelector("button[type=submit]");
const ratingOf = (card) => Number(card.querySelector(".scale input:checked")?.value ?? 0);
const hasBest = () => form.querySelector("input[name=best]:checked") !== null;
const KEYS_OFF = "neuronjury.keys-off";
let current = 0;

cards.forEach((card, index) => {
  card.tabIndex = -1;
  card.addEventListener("focusin", () => mark(index));
});

function mark(index) {
  current = index;
  cards.forEach((card, i) => card.classList.toggle("is-current", i === index));
}

function goTo(index) {
  if (index >= 0 && index < cards.length) cards[index].focus();
}

// On to the next card; from the last rating to the best rated card, so that one key picks it as best.
function rate(value) {
  cards[current].querySelector(`.scale input[value="${value}"]`).checked = true;
  const unrated = cards.findIndex((card) => !ratingOf(card));
  if (unrated >= 0) return goTo(current + 1 < cards.length ? current + 1 : unrated);
  const ratings = cards.map(ratingOf);
  if (hasBest()) button.focus();
  else goTo(ratings.indexOf(Math.max(...ratings)));
}

function pickBest() {
  cards[current].querySelector("input[name=best]").checked = true;
  if (cards.every(ratingOf)) button.focus();
}

function actionOf(event) {
  const isOnCard = event.target.closest("[data-card]") !== null;
  // Elsewhere keys keep their own meaning: on the button, on a token of an excerpt.
  if (!isOnCard && document.activeElement !== document.body) return null;
  if ("12345".includes(event.key)) return () => rate(event.key);
  if (event.key === "b") return pickBest;
  if (event.key === "j") return () => goTo(current + 1);
  if (event.key === "k") return () => goTo(current - 1);
  if (event.key === "ArrowDown" && isOnCard) return () => goTo(current + 1);
  if (event.key === "ArrowUp" && isOnCard) return () => goTo(current - 1);
  if (event.key === "Enter" && isOnCard) return () => form.requestSubmit();
  return null;
}

document.addEventListener("keydown", (event) => {
  if (localStorage.getItem(KEYS_OFF) || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  action();
});

mark(Math.max(0, cards.findIndex((card) => !ratingOf(card))));
