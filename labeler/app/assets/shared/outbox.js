// @ts-check
// Events (scores, skips, undos) on their way to the store. Each lies in localStorage under a key of
// its own from the moment the screen shows it until the server has acknowledged its id, so a reload,
// a closed tab or a dead server loses none; sending one twice is harmless (the id is unique).

/** @import { NewEvent, Receipt, Receipts, ScoreEvent, Stats } from "./payloads" */

import { messageOf, postJson, retryDelay } from "./api.js";
import { scorer, store, stored } from "./storage.js";

/**
 * What a page hears: its own events were taken, another window did something, all is saved, or what
 * is still to be sent has changed.
 * @typedef {Partial<{
 *   taken(receipt: Receipt, event: ScoreEvent): void,
 *   elsewhere(event: ScoreEvent): void,
 *   saved(stats: Stats): void,
 *   changed(): void,
 * }>} Listener
 */

const CHUNK_BYTES = 24000; // a keepalive request and the one before it together stay under 64 KB

/** @type {Map<string, Outbox>} */
const outboxes = new Map();

export class Outbox {
  /** @type {ScoreEvent[]} */
  pending = [];
  /** @type {string[]} sentences of the server about events that it can't take */
  refused = [];
  /** @type {string | null} why the last attempt failed */
  problem = null;
  storesEvents = true; // whether this browser keeps what is not yet sent
  failures = 0;
  number = 0; // of the last event: they are sent in their order, whatever the clock does
  /** @type {Set<Listener>} */
  listeners = new Set();
  /** @type {Promise<void> | null} */
  sending = null;
  /** @type {number | undefined} */
  timer;

  /** @param {string} project */
  constructor(project) {
    this.project = project;
    this.prefix = `labeler:event:${project}:`;
    this.adopt();
    addEventListener("pagehide", () => this.sendLast());
    addEventListener("online", () => this.flush());
    addEventListener("storage", (event) => this.hearOtherTab(event));
    addEventListener("beforeunload", (event) => {
      if (!this.storesEvents && this.pending.length) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.sendLast();
      else this.flush();
    });
    this.flush();
  }

  /**
   * One outbox per project and document, shared by the Score and the Review page.
   * @param {string} project
   */
  static of(project) {
    const outbox = outboxes.get(project) ?? new Outbox(project);
    outboxes.set(project, outbox);
    return outbox;
  }

  // Events of an earlier page or another tab that nobody has acknowledged yet.
  adopt() {
    try {
      const known = new Set(this.pending.map((event) => event.event));
      for (const key of Object.keys(localStorage).filter((key) => key.startsWith(this.prefix))) {
        const event = parseEvent(localStorage.getItem(key));
        if (event && !known.has(event.event)) this.pending.push(event);
      }
      this.pending.sort((a, b) => a.number - b.number || (a.at < b.at ? -1 : 1));
    } catch {
      this.storesEvents = false;
    }
  }

  /**
   * Takes the events of one key and returns them with their ids; they are stored before this returns.
   * Each is acknowledged by itself; the ids of those after the first are its id with a dot and a
   * number, so that one undo finds them all. Their `known` is what the page takes for the image's
   * score until then, and after an undo: others may have done more meanwhile.
   * @param {...NewEvent} events
   */
  add(...events) {
    const first = newId();
    const at = new Date().toISOString();
    const who = scorer() ? { scorer: scorer() } : {};
    const added = events.map((event, k) => ({ event: k ? `${first}.${k}` : first, at, number: this.nextNumber(), ...who, ...event }));
    this.pending.push(...added);
    this.storesEvents = added.every((event) => store(this.prefix + event.event, JSON.stringify(event)));
    this.flush();
    this.changed();
    return added;
  }

  // Above all numbers before it, other tabs' and earlier pages' included, also where the clock was set
  // back meanwhile.
  nextNumber() {
    const key = `labeler:number:${this.project}`;
    this.number = Math.max(Date.now(), this.number + 1, Number(stored(key) ?? 0) + 1);
    store(key, String(this.number));
    return this.number;
  }

  async flush() {
    clearTimeout(this.timer);
    if (this.sending) return this.sending;
    this.sending = this.sendAll();
    try {
      await this.sending;
    } finally {
      this.sending = null;
      this.changed();
    }
  }

  async sendAll() {
    while (this.pending.length) {
      try {
        const { receipts, stats } = await this.post(this.firstChunk());
        this.settle(receipts);
        this.problem = null;
        this.failures = 0;
        if (!this.pending.length) for (const listener of this.listeners) listener.saved?.(stats);
      } catch (error) {
        this.problem = messageOf(error);
        this.timer = setTimeout(() => this.flush(), retryDelay(this.failures++));
        return;
      }
    }
  }

  /**
   * @param {ScoreEvent[]} events
   * @returns {Promise<Receipts>}
   */
  post(events) {
    return postJson("api/events", { project: this.project, events }, { keepalive: true });
  }

  firstChunk() {
    let bytes = 0;
    const count = this.pending.findIndex((event) => (bytes += JSON.stringify(event).length) > CHUNK_BYTES);
    return this.pending.slice(0, count < 1 ? this.pending.length : count);
  }

  /** @param {Receipt[]} receipts */
  settle(receipts) {
    for (const receipt of receipts) {
      const event = this.pending.find((pending) => pending.event === receipt.event);
      this.forget(receipt.event);
      if (!receipt.accepted) this.refused.push(receipt.problem);
      else if (event && !receipt.repeated) for (const listener of this.listeners) listener.taken?.(receipt, event);
    }
    this.changed();
  }

  /** @param {string} id */
  forget(id) {
    this.pending = this.pending.filter((event) => event.event !== id);
    if (!store(this.prefix + id, null)) this.storesEvents = false;
  }

  // The page is going away: everything once more, by a request that outlives it.
  sendLast() {
    if (this.pending.length) this.post(this.firstChunk()).catch(() => {});
  }

  /**
   * What another tab does: an event that it keeps tells this page what an image's score is by now; one
   * that it had acknowledged needs no sending here.
   * @param {StorageEvent} change
   */
  hearOtherTab({ key, newValue }) {
    if (!key?.startsWith(this.prefix)) return;
    const added = parseEvent(newValue);
    if (added) for (const listener of this.listeners) listener.elsewhere?.(added);
    if (newValue !== null) return;
    const id = key.slice(this.prefix.length);
    this.pending = this.pending.filter((pending) => pending.event !== id);
    this.changed();
  }

  /**
   * Whether something done with the image is still to be sent.
   * @param {number} image
   */
  isPending(image) {
    return this.pending.some((event) => event.image === image);
  }

  imageIds() {
    return this.pending.map((event) => event.image);
  }

  /**
   * What stands beside the picture: how many scores are not yet in the store, and why.
   * @param {HTMLElement} badge
   */
  describe(badge) {
    const count = this.pending.length;
    badge.className = "saving";
    badge.classList.toggle("waiting", count > 0);
    badge.classList.toggle("stuck", count > 0 && (this.problem !== null || !this.storesEvents));
    badge.dataset.unsaved = String(count);
    badge.textContent = this.message();
    badge.title = this.refused.length ? `Not taken: ${this.refused.at(-1)}` : "";
  }

  message() {
    const count = this.pending.length;
    if (!count) return this.refused.length ? `${this.refused.length} not taken: ${this.refused.at(-1)}` : "all saved";
    if (!this.storesEvents) return `${count} not yet saved. This browser keeps nothing: leave the page open`;
    if (this.problem) return `${count} not yet saved, kept in this browser. ${this.problem}`;
    return `${count} not yet saved`;
  }

  /**
   * Returns the function that ends it.
   * @param {Listener} listener
   */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed() {
    for (const listener of this.listeners) listener.changed?.();
  }
}

/**
 * @param {string | null} text
 * @returns {ScoreEvent | null}
 */
function parseEvent(text) {
  try {
    const event = JSON.parse(text ?? "null");
    return typeof event?.event === "string" ? event : null;
  } catch {
    return null;
  }
}

// crypto.randomUUID exists only on https and localhost; the app may be opened by another name.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
