// @ts-check
// The Review page: cards of likely mistakes, handled by one key each. What the keys do belongs to
// the focused card, which always is one that can be seen. There is one focus: a card that gets the
// browser's is the focused one, and where a key moves the focus to another card the browser's follows.

/** @import { NearDuplicateItem, NewEvent, Receipt, ReviewPageData, ReviewQueue, RoundCounts, ScoreEvent } from "../shared/payloads" */
/** @import { OpenedPage } from "./card_feed.js" */

import { RETRY_MS, messageOf, pause, retryDelay } from "../shared/api.js";
import { element, focusedBeside, mounted, releaseFocus } from "../shared/dom.js";
import { passes, replacedMessage } from "../shared/format.js";
import { isForPage, isUndoShortcut, letterOf, movesControl, pressesControl, scoreOfKey } from "../shared/keyboard.js";
import { Outbox } from "../shared/outbox.js";
import { Zoom } from "../shared/zoom.js";
import { Card } from "./card.js";
import { CardFeed, OtherQueues } from "./card_feed.js";
import { MISTAKES, QUEUES, ReviewHeader } from "./header.js";
import { HoverPreview } from "./hover_preview.js";
import { WhatIf } from "./what_if.js";

/**
 * What a key does to an image.
 * @typedef {Pick<NewEvent, "kind" | "score" | "at_least" | "below">} Answer
 */

/**
 * An answer that can be undone, with the card and the figures as they were; an earlier visit's has no
 * card.
 * @typedef {{
 *   image: number,
 *   events: { event: string, image: number, known?: number | null }[],
 *   before?: { card: Card, index: number, counts: RoundCounts, left: number },
 * }} Undoable
 */

const REPLACE_AFTER = 8; // answers, after which the cards out of sight are replaced
const FEW = 14; // with fewer cards than this on the screen the next page joins them
const MOST_FLUSH_MS = 2500; // that a queue waits for what is still to be sent
const NOTHING_LEFT = "Nothing left here: train again to find more.";

class ReviewPage {
  /** @type {Card[]} */
  cards = [];
  /** @type {Undoable[]} oldest first */
  undoable = [];
  /** @type {Set<number>} images answered here: an answer on its way may still bring them */
  handled = new Set();
  handledCards = 0;
  answers = 0; // since the cards out of sight were replaced
  /** @type {Card | null} */
  focused = null;
  askedOnceMore = false; // whether an empty queue was asked again
  /** @type {ReviewQueue} */
  queue = MISTAKES;
  /** @type {RoundCounts} */
  counts = { corrected: 0, confirmed: 0, skipped: 0 };
  /** @type {number | null} images left in the queue; null where it isn't known yet */
  left = null;
  /** @type {string | null} */
  explanation = null;
  root = element("div", "labeler review");
  grid = element("div", "cards");
  message = element("div", "words");
  whatIf = new WhatIf();
  header = new ReviewHeader(
    (queue) => this.choose(queue),
    () => this.undo(),
  );
  otherQueues = new OtherQueues((queue) => this.newFeed(queue));

  /**
   * @param {Node} parent
   * @param {ReviewPageData} data
   */
  constructor(parent, data) {
    this.data = data;
    this.root.append(this.header.tabs, this.header.row, this.whatIf.root, this.grid, this.message);
    this.hoverPreview = new HoverPreview(this.root);
    this.zoom = new Zoom(this.root);
    parent.appendChild(this.root);
    /** @param {KeyboardEvent} event */
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    releaseFocus();
    /** @type {import("./card.js").CardActions} */
    this.actions = {
      focus: (card) => this.focusOn(card),
      score: (card, score) => this.score(card, score),
      confirm: (card) => this.confirm(card),
      keep: (card) => this.keep(card),
      skip: (card) => this.skip(card),
      zoom: (card) => this.zoom.show(card.item),
      preview: (card, image) => (image ? this.hoverPreview.show(card.root, image) : this.hoverPreview.hide()),
    };
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.listen();
    /** @type {CardFeed | null} null once the page is closed */
    this.feed = this.newFeed(this.queue);
    this.choose(this.queue);
  }

  /** @param {ReviewPageData} data */
  update(data) {
    const { project, threshold, version } = this.data;
    if (data.project === project && data.threshold === threshold && data.version === version) return;
    this.data = data;
    this.stopListening();
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.listen();
    this.choose(this.queue);
  }

  listen() {
    const describe = () => this.outbox.describe(this.header.saving);
    return this.outbox.listen({
      taken: (receipt, event) => this.taken(receipt, event),
      elsewhere: (event) => this.scoredElsewhere(event),
      saved: () => {
        describe();
        this.prepareRest();
      },
      changed: describe,
    });
  }

  /**
   * Another window scored an image: its card leaves here, too, and no near-duplicate is scored again
   * together with another card.
   * @param {ScoreEvent} event
   */
  scoredElsewhere({ kind, image, score }) {
    if (!["score", "confirm"].includes(kind) || score === undefined) return;
    const card = this.cards.find((one) => one.item.id === image);
    this.otherQueues.clear();
    if (card) {
      this.handled.add(image);
      this.remove(card, String(score));
      this.lessLeft();
      this.header.news.say(`${card.item.name} is scored ${score} by now, in another window.`);
      this.afterAnswer();
    }
    for (const one of this.cards) one.nearDuplicates.scoredElsewhere(image, score);
  }

  /**
   * The server took it: says so where that replaced a score that this page didn't know of.
   * @param {Receipt} receipt
   * @param {ScoreEvent} event
   */
  taken({ before }, { kind, image, score, known = null }) {
    if (!["score", "confirm"].includes(kind) || score === undefined || before === known || before === score) return;
    const item = this.undoable.map((done) => done.before?.card.item).find((one) => one?.id === image);
    this.header.news.say(replacedMessage(item?.name ?? "A near-duplicate", before, score));
  }

  /**
   * Opens a queue; `first` is an image that should stand at its head.
   * @param {ReviewQueue} queue
   * @param {number | null} [first]
   */
  async choose(queue, first = null) {
    this.queue = queue;
    const prepared = first === null ? this.otherQueues.ready.get(queue) : undefined;
    this.otherQueues.clear();
    this.header.choose(queue);
    const feed = (this.feed = prepared?.feed ?? this.newFeed(queue));
    if (prepared) {
      this.begin(prepared.page);
      return;
    }
    this.clear("loading …");
    this.outbox.adopt();
    if (this.outbox.pending.length) await Promise.race([this.outbox.flush(), pause(MOST_FLUSH_MS)]);
    for (let failures = 0; feed === this.feed; failures++) {
      try {
        const page = await feed.open(this.outbox.imageIds(), { first });
        if (feed === this.feed) this.begin(page);
        return;
      } catch (error) {
        this.message.textContent = messageOf(error, "The server doesn't answer; trying again …");
        await pause(retryDelay(failures));
      }
    }
  }

  /** @param {ReviewQueue} queue */
  newFeed(queue) {
    return new CardFeed(queue, (item) => new Card(item, this.actions));
  }

  // The keys rest: what the scores would change, and the other tabs' first pages.
  prepareRest() {
    this.whatIf.ask(() => this.cards);
    if (this.queue === MISTAKES && this.answers >= REPLACE_AFTER && !this.outbox.pending.length) this.replaceUnseen();
    const others = QUEUES.filter((queue) => queue !== this.queue);
    this.otherQueues.prepareSoon(others, () => this.outbox.pending.length > 0);
  }

  // The answers may have told what the cards farther down are: those that nobody has seen make room
  // for likelier ones.
  async replaceUnseen() {
    const { feed } = this;
    if (!feed) return;
    this.answers = 0;
    const kept = new Set(this.inSight());
    /** @type {Card[]} */
    let cards = [];
    try {
      cards = await feed.replace(
        [...kept].flatMap((card) => card.imageIds()),
        this.outbox.imageIds(),
      );
    } catch {
      return; // the old cards do
    }
    if (feed !== this.feed || !cards.length) return;
    for (const card of this.inSight()) kept.add(card);
    for (const card of this.cards) if (!kept.has(card)) card.root.remove();
    this.cards = this.cards.filter((card) => kept.has(card));
    this.add(cards);
  }

  inSight() {
    return this.cards.filter((card) => {
      const { top, bottom } = card.root.getBoundingClientRect();
      const isTouched = card === this.focused || card.nearDuplicates.excluded.size > 0;
      return isTouched || (bottom > 0 && top < innerHeight);
    });
  }

  /** @param {OpenedPage} page */
  begin({ events, waiting, round, explanation, cards }) {
    this.undoable = events.map(({ event, image, together }) => ({ image, events: [{ event, image }, ...together] }));
    this.clear("");
    this.root.dataset.threshold = String(this.data.threshold); // which one these cards are for
    this.left = waiting;
    this.counts = round;
    this.explanation = explanation;
    this.add(cards);
  }

  /** @param {string} message */
  clear(message) {
    this.cards = [];
    this.handled = new Set();
    this.answers = 0;
    this.focused = null;
    this.askedOnceMore = false;
    this.whatIf.clear();
    this.grid.replaceChildren();
    delete this.root.dataset.threshold;
    this.message.textContent = message;
    this.hoverPreview.hide();
    this.render();
  }

  // Every image that is on the screen, near-duplicates on the cards included.
  shownIds() {
    return this.cards.flatMap((card) => card.imageIds());
  }

  /** @param {Card[]} cards */
  add(cards) {
    const here = new Set([...this.shownIds(), ...this.handled]);
    for (const card of cards) if (!card.imageIds().some((id) => here.has(id))) this.insert(card);
    if (!this.focused && this.cards.length) this.focusOn(this.cards[0]);
    this.message.textContent = this.cards.length ? "" : this.explanation ?? NOTHING_LEFT;
    this.render();
    this.prepareRest();
    this.refill();
  }

  /** @param {Card} card */
  insert(card, index = this.cards.length) {
    this.grid.insertBefore(card.root, this.cards[index]?.root ?? null);
    this.cards.splice(index, 0, card);
  }

  // Lets the next cards in when few are left, and has those after them made ready.
  async refill() {
    const { feed } = this;
    if (!feed) return;
    // What was too much like a card on the screen may come when that one is gone.
    if (!this.cards.length && this.left && feed.isEmpty && !this.askedOnceMore) {
      this.askedOnceMore = true;
      feed.isEmpty = false;
    }
    try {
      await feed.prepare(this.shownIds(), this.outbox.imageIds());
    } catch {
      setTimeout(() => feed === this.feed && this.refill(), RETRY_MS[2]);
    }
    if (feed !== this.feed) return;
    this.root.dataset.ready = String(feed.ready.length > 0);
    if (this.cards.length >= FEW || !feed.ready.length) return;
    this.askedOnceMore = false;
    this.add(feed.take());
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.root.isConnected || this.zoom.key(event) || !isForPage(event)) return;
    const act = this.actionOf(event);
    if (!act) return;
    event.preventDefault();
    act();
    if (!this.zoom.isOpen) this.focused?.takeFocus();
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {(() => void) | null}
   */
  actionOf(event) {
    const card = this.focused;
    if (isUndoShortcut(event) || event.key === "Backspace" || letterOf(event) === "u") return () => this.undo();
    if (!card) return null;
    const score = scoreOfKey(event);
    if (score !== null) return () => this.score(card, score);
    /** @type {Record<string, () => void>} */
    const letters = {
      s: () => this.skip(card),
      z: () => this.zoom.show(card.lookedAt()),
      k: () => this.keep(card),
      n: () => card.nearDuplicates.toggleAll(),
    };
    const act = letters[letterOf(event)];
    if (act) return act;
    if (event.key === " " && !pressesControl(event)) return () => this.skip(card);
    if (event.key === "Enter" && !pressesControl(event)) return () => this.confirm(card);
    if (movesControl(event)) return null;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns() }[event.key];
    return step ? () => this.moveFocus(step) : null;
  }

  /**
   * @param {Card} card
   * @param {number} score
   */
  score(card, score) {
    this.handle(card, { kind: "score", score }, String(score));
  }

  /** @param {Card} card */
  confirm(card) {
    // Taking the model's word against one's own score is a correction; otherwise it is agreed with.
    // A near-duplicate may lie on the other side of the threshold: its score speaks for itself. Of a
    // likely mistake no number is said, only where the score lies.
    const { confirm: score, confirm_bounds: [at_least, below] } = card.item;
    /** @type {Answer} */
    const answer = card.isHandScore ? { kind: "score", score } : { kind: "score", score, at_least, below };
    this.handle(card, card.isHandScore ? answer : { ...answer, kind: "confirm" }, "✓", () => answer);
  }

  /**
   * Each keeps its own score.
   * @param {Card} card
   */
  keep(card) {
    if (!card.isHandScore) return;
    /**
     * @param {NearDuplicateItem} item
     * @returns {Answer}
     */
    const kept = ({ score }) => ({ kind: "confirm", score: score ?? undefined });
    this.handle(card, kept(card.item), "kept", kept);
  }

  /** @param {Card} card */
  skip(card) {
    this.handle(card, { kind: "skip" }, "skipped");
  }

  /**
   * Sends what was done with a card and lets it go; only once per card.
   * @param {Card} card
   * @param {Answer} answer
   * @param {string} mark shown on the card as it leaves
   * @param {(item: NearDuplicateItem) => Answer} [answerFor] what its near-duplicates get
   */
  handle(card, answer, mark, answerFor = () => answer) {
    const index = this.cards.indexOf(card);
    if (index < 0) return;
    this.otherQueues.clear();
    this.answers += 1;
    const items = [card.item, ...card.nearDuplicates.included()];
    const events = this.outbox.add(...items.map((item, k) => eventOf(card, item, k ? answerFor(item) : answer)));
    const before = { card, index, counts: { ...this.counts }, left: this.left ?? 0 };
    this.undoable.push({ image: card.item.id, events, before });
    items.forEach((item, k) => this.count(item, events[k]));
    for (const item of items) this.handled.add(item.id);
    this.remove(card, mark);
    this.root.dataset.handled = String(++this.handledCards);
    this.afterAnswer();
  }

  /**
   * @param {Card} card
   * @param {string} mark
   */
  remove(card, mark) {
    const index = this.cards.indexOf(card);
    this.cards.splice(index, 1);
    this.hoverPreview.hide();
    if (this.focused === card) this.focusOn(this.cards[index] ?? this.cards[index - 1] ?? null);
    card.leave(mark).then(() => card.root.classList.contains("leaving") && card.root.remove());
  }

  afterAnswer() {
    if (!this.cards.length) this.message.textContent = NOTHING_LEFT;
    this.render();
    this.refill();
  }

  lessLeft() {
    this.left = Math.max(0, (this.left ?? 0) - 1);
  }

  /**
   * Adds an answer to the round's figures.
   * @param {NearDuplicateItem} item
   * @param {Answer} answer
   */
  count(item, { kind, score }) {
    const isOfQueue = item.queue === this.queue || (this.queue === MISTAKES && item.queue !== "hand-score");
    if (isOfQueue) this.lessLeft();
    if (kind === "skip" || score === undefined) {
      this.counts.skipped += 1;
      return;
    }
    const passed = passes(score / 10, this.data.threshold);
    const isModelRight = item.queue === "hand-score" ? score === item.score : passed === (item.queue === "false-positive");
    this.counts[kind === "confirm" || isModelRight ? "confirmed" : "corrected"] += 1;
  }

  undo() {
    const last = this.undoable.pop();
    if (!last) {
      this.message.textContent = "Nothing to undo.";
      return;
    }
    this.otherQueues.clear();
    this.outbox.add(...last.events.map(({ event, image, known }) => /** @type {NewEvent} */ ({ kind: "undo", image, undoes: event, known })));
    if (!last.before) {
      this.choose(this.queue, last.image);
      return;
    }
    const { card: old, index, counts, left } = last.before;
    for (const { image } of last.events) this.handled.delete(image);
    const card = new Card(old.item, this.actions);
    card.nearDuplicates.exclude(old.nearDuplicates.excluded);
    old.root.remove();
    this.insert(card, Math.min(index, this.cards.length));
    this.counts = counts;
    this.left = left;
    this.message.textContent = "";
    this.focusOn(card);
    this.render();
  }

  /** @param {Card | null} card */
  focusOn(card) {
    if (this.focused === card) return;
    this.focused?.markFocused(false);
    this.focused = card;
    card?.markFocused(true);
    if (this.mayTakeFocus()) card?.takeFocus();
    this.root.dataset.focused = card ? String(card.item.id) : "";
  }

  // Whether the browser's focus is on a card or nowhere; what else has it (a field, a button above the
  // cards that is pressed again and again) keeps it until a key is meant for a card.
  mayTakeFocus() {
    const inside = focusedBeside(this.root);
    if (inside) return this.grid.contains(inside);
    return document.activeElement === document.body || !document.activeElement;
  }

  /** @param {number} step cards */
  moveFocus(step) {
    const card = this.cards[this.focused ? this.cards.indexOf(this.focused) + step : -1];
    if (card) this.focusOn(card);
  }

  columns() {
    const top = this.cards[0]?.root.offsetTop;
    const nextRow = this.cards.findIndex((card) => card.root.offsetTop > top);
    return nextRow < 0 ? this.cards.length : nextRow;
  }

  render() {
    this.header.show(this.counts, this.queue, this.left);
    this.root.dataset.cards = String(this.cards.length);
    this.root.dataset.queue = this.queue;
    this.root.dataset.ready = String(Boolean(this.feed?.ready.length));
    this.outbox.describe(this.header.saving);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.hoverPreview.hide();
    this.feed = null;
    this.otherQueues.clear();
    this.whatIf.clear();
    this.stopListening();
    this.zoom.close();
    this.root.remove();
  }
}

/**
 * What is sent of an answer: the image's own queue and prediction, and what the card was made with.
 * @param {Card} card
 * @param {NearDuplicateItem} item the card's own, or a near-duplicate's
 * @param {Answer} answer
 * @returns {NewEvent}
 */
function eventOf(card, { id, score, hash, queue, prediction }, answer) {
  const { version, threshold } = card.item;
  return { ...answer, image: id, known: score, hash, queue, prediction, version, threshold };
}

export default mounted(ReviewPage);
