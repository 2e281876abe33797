// The way of a rater's entries to the server: one request at a time, the newest state after it, every state kept in this
// tab (sessionStorage) until its reply is there, through reloads and while offline. Knows no page: `tell` is told.
"use strict";

const UNSAVED = "neuronjury.unsaved.";
const FIRST_DELAY = 1000, LONGEST_DELAY = 30000, LONGEST_WAIT = 20000;

// Everything that tell is told: saving() a request leaves; stored(submits, isLast) it arrived; lost() nothing came back,
// it is tried again; conflict(reply, mine) the server has other answers, nothing more is sent until resolve(); refused
// (status, words) the server will not take it.
//
// A state is {entries, submits}; entries: [[name, value], ...] as a form sends them; submits: whether it is the
// rater's word that the neuron is judged.
function makeQueue({ token, formToken, version, tell }) {
  const key = UNSAVED + token;
  // sent: on its way, or its reply was lost. It is sent again as it was before anything newer: had it arrived after all,
  // the server recognises it; something newer over the old version would look like a change from elsewhere.
  let record = JSON.parse(sessionStorage.getItem(key)) ?? { version, sent: null, newest: null };
  let isBusy = false, heldBy = null, delay = FIRST_DELAY, timer = 0;

  const hasUnsaved = () => record.sent !== null || record.newest !== null;

  function keep() {
    if (hasUnsaved()) sessionStorage.setItem(key, JSON.stringify(record));
    else sessionStorage.removeItem(key);
  }

  function put(entries, submits) {
    record.newest = { entries, submits };
    keep();
    if (heldBy) tell.conflict(heldBy, record.newest);
    else run();
  }

  async function run() {
    if (isBusy || heldBy) return;
    clearTimeout(timer);
    isBusy = true;
    while (hasUnsaved() && (await step()));
    isBusy = false;
  }

  // Sends one state; whether the next one may follow at once.
  async function step() {
    if (record.sent === null) [record.sent, record.newest] = [record.newest, null];
    keep();
    tell.saving();
    const answer = await post(record.sent).catch(() => null);
    if (answer === null || answer.status >= 500 || answer.status === 429) return retryLater();
    delay = FIRST_DELAY;
    if (answer.status === 200) return onStored(answer.reply);
    if (answer.reply.entries) return onConflict(answer.reply);
    return onRefused(answer);
  }

  async function post(state) {
    const body = new URLSearchParams(state.entries);
    body.set("version", record.version);
    if (state.submits) body.set("submits", "1");
    const headers = { "x-form-token": formToken, Accept: "application/json" };
    const signal = AbortSignal.timeout(LONGEST_WAIT);
    // keepalive: a request that is on its way when the page is left still arrives.
    const response = await fetch(`/rate/${token}/save`, { method: "POST", body, headers, signal, keepalive: true });
    return { status: response.status, reply: await response.json() };
  }

  function retryLater() {
    timer = setTimeout(run, delay);
    delay = Math.min(2 * delay, LONGEST_DELAY);
    tell.lost();
    return false;
  }

  function onStored(reply) {
    const { submits } = record.sent;
    record.version = reply.version;
    record.sent = null;
    keep();
    tell.stored(submits, record.newest === null, reply.next);
    return true;
  }

  function onConflict(reply) {
    heldBy = reply;
    tell.conflict(reply, record.newest ?? record.sent);
    return false;
  }

  function onRefused({ status, reply }) {
    // 403: this browser is no longer signed in; the answers wait for it. 400, 422: these entries are no answers, others
    // may be. Anything else is final: the study is closed, the neuron is another rater's.
    if (status !== 403) {
      record.sent = null;
      if (status !== 400 && status !== 422) record.newest = null;
      keep();
    }
    tell.refused(status, reply.error);
    return status !== 403;
  }

  // Ends a conflict. state: what to store over that version; null: what the server has.
  function resolve(newVersion, state) {
    record = { version: newVersion, sent: null, newest: state };
    heldBy = null;
    keep();
    run();
  }

  addEventListener("online", run);
  return {
    put,
    run,
    resolve,
    hasUnsaved,
    // Unsaved, and not on its way either.
    isWaiting: () => hasUnsaved() && !isBusy,
    heldBy: () => heldBy,
    unsaved: () => record.newest ?? record.sent,
  };
}

const SILENT = { saving() {}, stored() {}, lost() {}, conflict() {}, refused() {} };

// Entries of other neurons that were left while they could not be sent. A conflict among them waits for the visit there.
function sendOthers(token, formToken) {
  const tokens = Object.keys(sessionStorage).filter((key) => key.startsWith(UNSAVED)).map((key) => key.slice(UNSAVED.length));
  for (const other of tokens) {
    if (other !== token) makeQueue({ token: other, formToken, version: null, tell: SILENT }).run();
  }
}
