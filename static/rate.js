// The rating page's comforts: keys, what is still missing, autosave, a gentle question, two versions side by side.
// Everything works without this file: the form is a plain form and the server checks it again.
"use strict";

const form = document.getElementById("judgement");
const cards = [...form.querySelectorAll("[data-card]")];
const submit = document.getElementById("submit");
const missingLine = document.getElementById("missing");
const savedLine = document.getElementById("saved");
const keyList = document.getElementById("keys");
const keysSwitch = document.getElementById("keys-on");
const cannot = document.getElementById("cannot");
const KEYS_OFF = "neuronjury.keys-off";
const TYPING_PAUSE = 800, SLOW = 400;

const letterOf = (card) => card.dataset.card;
const ratingOf = (card) => Number(card.querySelector(".scale input:checked")?.value ?? 0);
const bestCard = () => cards.find((card) => card.querySelector("input[name=best]:checked")) ?? null;
const reason = () => form.elements.cannot_judge.value;
const unrated = () => cards.filter((card) => !ratingOf(card));
const isComplete = () => reason() !== "" || (unrated().length === 0 && bestCard() !== null);
const listed = (names) => names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

// What is missing, and the gentle question -----------------------------------------------------------------------------

function missingWords() {
  if (reason()) return "You cannot judge this neuron. Save to go on.";
  const n = unrated().length;
  const ratings = n === 0 ? "" : n === 1 ? "1 rating" : `${n} ratings`;
  if (ratings && !bestCard()) return `${ratings} and the best pick are missing.`;
  if (ratings) return `${ratings} ${n === 1 ? "is" : "are"} missing.`;
  return bestCard() ? "Complete." : "The best pick is missing.";
}

const submitWords = submit?.textContent;
const answers = () => JSON.stringify([cards.map(ratingOf), bestCard() && letterOf(bestCard())]);
let answered = "";

function showMissing() {
  missingLine.textContent = missingWords();
  missingLine.classList.remove("is-urgent");
  submit.textContent = submitWords;
}

// Asks once for each state of the answers; sending the same answers again says yes. Whether it asked.
function asksAboutBest() {
  const best = bestCard();
  if (reason() || answered === answers()) return false;
  const higher = cards.filter((card) => ratingOf(card) > ratingOf(best)).map(letterOf);
  if (higher.length === 0) return false;
  answered = answers();
  const others = `${higher.length === 1 ? "card" : "cards"} ${listed(higher)}`;
  missingLine.textContent = `Your best pick has a lower rating than ${others}. Is that right?`;
  submit.textContent = "Yes, save";
  submit.focus();
  return true;
}

// The current card: the one that keys act on ---------------------------------------------------------------------------

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

function bestRated() {
  const ratings = cards.map(ratingOf);
  return ratings.indexOf(Math.max(...ratings));
}

// On to the next card; from the last rating to the best rated card, so that one key picks it as best.
function afterRating() {
  if (unrated().length === 0 && !bestCard()) return goTo(bestRated());
  if (current + 1 < cards.length) return goTo(current + 1);
  if (unrated().length > 0) return goTo(cards.indexOf(unrated()[0]));
  submit.focus();
}

function choose(radio) {
  radio.checked = true;
  onEntry();
}

// Keys -----------------------------------------------------------------------------------------------------------------

function rate(key) {
  choose(cards[current].querySelector(`.scale input[value="${key}"]`));
  afterRating();
}

function pickBest() {
  choose(cards[current].querySelector("input[name=best]"));
  if (isComplete()) submit.focus();
  else cards[current].focus();
}

function openCannot() {
  cannot.open = true;
  const chosen = cannot.querySelector("input:checked");
  (chosen.value ? chosen : cannot.querySelector("input:not([value=''])")).focus();
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
    case "c": return openCannot;
    case "?": return () => keyList.showModal();
    case "Enter": return isOnControl ? null : () => form.requestSubmit();
    default: return null;
  }
}

function onKey(event) {
  if (!keysSwitch.checked || keyList.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("textarea")) return;
  // A key that is held down is no second answer, and no yes to the question that the first one brought up.
  if (event.repeat && "12345bEnter".includes(event.key)) return event.preventDefault();
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  action();
}

// Saving ---------------------------------------------------------------------------------------------------------------

const entries = () => [...new FormData(form)].filter(([name]) => name !== "form_token" && name !== "version");
let isLeaving = false, typing = 0, slow = 0;

function say(words, isBad = false) {
  clearTimeout(slow);
  savedLine.textContent = words;
  savedLine.classList.toggle("is-urgent", isBad);
}

const OFFLINE = "Your answers are kept here and will be sent when the connection is back.";
const SIGNED_OUT = "You are no longer signed in. Open your invitation link again in this tab: your answers are kept here.";
const NO_ANSWER = "Your answers are kept here and will be sent as soon as it does.";

function sayLost() {
  const next = isLeaving ? " The next neuron opens then." : "";
  say(navigator.onLine ? `The site does not answer. ${NO_ANSWER}${next}` : `You are offline. ${OFFLINE}${next}`);
}

const queue = makeQueue({
  token: form.dataset.token,
  formToken: form.elements.form_token.value,
  version: form.elements.version.value,
  tell: {
    // Only where it takes long enough to be read.
    saving() { slow = setTimeout(say, SLOW, "Saving…"); },
    stored(submits, isLast, next) {
      say(`Saved ${new Date().toLocaleTimeString("en-GB")}`);
      if (submits && isLast) location.assign(next);
    },
    lost: sayLost,
    conflict(reply, mine) {
      isLeaving = mine.submits;
      say("");
      showConflict(conflictPanel, form, formEntries(reply.entries), mine.entries);
    },
    refused(status, words) {
      isLeaving = false;
      say(status === 403 ? SIGNED_OUT : words, true);
    },
  },
});

function save() {
  clearTimeout(typing);
  typing = 0;
  queue.put(entries(), isLeaving && isComplete());
}

function onEntry() {
  showMissing();
  save();
}

function onTyping(event) {
  if (event.target.name !== "comment") return;
  clearTimeout(typing);
  typing = setTimeout(save, TYPING_PAUSE);
}

function onSubmit(event) {
  // "Leave" goes to a page of its own.
  if (event.submitter?.hasAttribute("formaction")) return;
  event.preventDefault();
  if (queue.heldBy()) return event.submitter?.id === "use-mine" ? useMine() : conflictPanel.focus();
  // Where the server showed two versions, whatever saves says which one it is.
  conflictPanel.hidden = true;
  if (isLeaving) return queue.run();
  if (!isComplete()) {
    missingLine.classList.add("is-urgent");
    return goTo(unrated().length > 0 ? cards.indexOf(unrated()[0]) : current);
  }
  if (asksAboutBest()) return;
  isLeaving = true;
  save();
}

// Two versions ---------------------------------------------------------------------------------------------------------

const conflictPanel = document.getElementById("conflict");

// On a page that the server rendered for two versions there is no queue to resolve: the link leads to those answers.
function keepTheirs(event) {
  const theirs = queue.heldBy();
  if (!theirs) return;
  event.preventDefault();
  isLeaving = false;
  fill(form, formEntries(theirs.entries));
  showMissing();
  conflictPanel.hidden = true;
  queue.resolve(theirs.version, null);
  say("The answers that were saved there are kept.");
  goTo(current);
}

function useMine() {
  const theirs = queue.heldBy();
  conflictPanel.hidden = true;
  say("");
  queue.resolve(theirs.version, { entries: entries(), submits: isLeaving && isComplete() });
  goTo(current);
}

// Coming and going -----------------------------------------------------------------------------------------------------

function onLeave(event) {
  if (queue.isWaiting()) event.preventDefault();
}

// Back may restore this page as it was left, in the middle of sending: make it usable again.
function onReturn(event) {
  if (event.persisted) isLeaving = false;
}

function start() {
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
  form.addEventListener("change", onEntry);
  form.addEventListener("input", onTyping);
  form.addEventListener("submit", onSubmit);
  // The second click of a double click is no yes to the question that the first one brought up.
  submit.addEventListener("click", (event) => { if (event.detail > 1) event.preventDefault(); });
  document.getElementById("keep-theirs").addEventListener("click", keepTheirs);
  document.addEventListener("keydown", onKey);
  addEventListener("offline", sayLost);
  addEventListener("online", () => { if (!queue.hasUnsaved()) say("The connection is back. Everything is saved."); });
  addEventListener("beforeunload", onLeave);
  addEventListener("pagehide", () => { if (typing) save(); });
  addEventListener("pageshow", onReturn);
}

// What was entered before a reload and never arrived comes back, and is sent.
function resume() {
  if (queue.hasUnsaved()) {
    isLeaving = queue.unsaved().submits;
    fill(form, queue.unsaved().entries);
    queue.run();
  } else if ("unsaved" in form.dataset) save();
  sendOthers(form.dataset.token, form.elements.form_token.value);
}

if (!("finished" in form.dataset)) {
  start();
  resume();
  mark(current);
  // A judged neuron comes complete, with the server's own words about changing it, and its question was answered.
  if (isComplete()) answered = answers();
  else showMissing();
}
