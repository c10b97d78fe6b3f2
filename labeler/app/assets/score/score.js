// @ts-check
// The Score page: one picture, one key, the next picture. The score belongs to the picture that is
// on the screen at that moment; a key pressed before a picture is there is not taken.

/** @import { NewEvent, Receipt, RecentEvents, ScoreEvent, ScorePageData, Stats } from "../shared/payloads" */
/** @import { QueuedImage } from "./queue.js" */

import { getJson, messageOf, pause, retryDelay } from "../shared/api.js";
import { button, element, mounted, releaseFocus } from "../shared/dom.js";
import { replacedMessage } from "../shared/format.js";
import { isForPage, isUndoShortcut, letterOf, movesControl, pressesControl, scoreOfKey } from "../shared/keyboard.js";
import { Outbox } from "../shared/outbox.js";
import { scorer, setScorer, store, stored } from "../shared/storage.js";
import { Zoom } from "../shared/zoom.js";
import { ImageQueue, SCORED_ORDERS } from "./queue.js";
import { ScoreView } from "./view.js";

/**
 * Something done that can be undone: `before` is the score that the image had.
 * @typedef {{ event: string, image: QueuedImage, before: number | null }} Undoable
 */

const RECENT = 6; // images shown beside the picture
const MOST_FLUSH_MS = 2500; // that an order waits for what is still to be sent

class ScorePage {
  /** @type {Undoable[]} oldest first */
  undoable = [];
  queue = new ImageQueue(() => this.render());
  showsPrediction = false;
  wasAway = false; // whether the server didn't answer a moment ago
  generation = 0; // a later order makes the start of an earlier one void
  /** @type {Stats | null} */
  stats = null;
  /** @type {QueuedImage | null} */
  shown = null;
  /** @type {number | undefined} */
  frame;

  /**
   * @param {Node} parent
   * @param {ScorePageData} data
   */
  constructor(parent, data) {
    this.data = data;
    this.view = new ScoreView(parent, data, {
      score: (score) => this.score(score),
      skip: () => this.skip(),
      undo: () => this.undo(),
      move: (step) => this.move(step),
      zoom: () => this.zoomIn(),
      togglePrediction: () => this.togglePrediction(),
      setOrder: (order) => this.start(order),
      setScorer: (name) => this.setScorer(name),
    });
    this.zoom = new Zoom(this.view.root);
    /** @param {KeyboardEvent} event */
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.listen();
    this.open();
  }

  /** @param {ScorePageData} data */
  update(data) {
    const { project, checks, repeats } = this.data;
    if (data.project === project && data.checks === checks && data.repeats === repeats) return;
    this.data = data;
    this.stopListening();
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.listen();
    this.open();
  }

  listen() {
    return this.outbox.listen({
      taken: (receipt, event) => this.taken(receipt, event),
      elsewhere: (event) => this.scoredElsewhere(event),
      saved: (stats) => this.saved(stats),
      changed: () => this.outboxChanged(),
    });
  }

  open() {
    this.showsPrediction = false;
    releaseFocus(); // else digits would be typed into the control that was just used
    const kept = stored(this.orderKey);
    const isKnown = [...this.view.order.options].some(({ value }) => value === kept);
    this.view.order.value = isKnown && kept !== null ? kept : this.data.orders[0][0];
    this.start(this.view.order.value);
  }

  get orderKey() {
    return `labeler:order:${this.data.project}`;
  }

  /**
   * Starts an order: what an earlier page left unsent goes first, then this session's events so far are
   * asked for, so that undo and going back work across a reload.
   * @param {string} order
   */
  async start(order) {
    store(this.orderKey, order);
    const generation = ++this.generation;
    this.queue.clear(); // from here on no key is a score until the first picture is there
    this.render();
    this.outbox.adopt();
    await Promise.race([this.outbox.flush(), pause(MOST_FLUSH_MS)]);
    const recent = await this.recentEvents(generation);
    if (!recent || generation !== this.generation) return;
    this.stats = recent.stats;
    this.undoable = undoableOf(recent);
    const past = SCORED_ORDERS.includes(order) ? [] : [...new Set(this.undoable.map((done) => done.image).reverse())].reverse();
    this.queue.start({ order, scorer: scorer() }, past, () => this.outbox.imageIds());
    this.render();
  }

  /**
   * @param {number} generation
   * @returns {Promise<RecentEvents | null>} null where another order was started meanwhile
   */
  async recentEvents(generation) {
    for (let failures = 0; generation === this.generation; failures++) {
      try {
        return await getJson("api/recent", { queue: "score", scorer: scorer() });
      } catch (error) {
        this.queue.explanation = messageOf(error, "The server doesn't answer; trying again …");
        this.render();
        await pause(retryDelay(failures));
      }
    }
    return null;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.view.root.isConnected || this.zoom.key(event) || !isForPage(event)) return;
    const act = this.actionOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {(() => void) | null}
   */
  actionOf(event) {
    if (isUndoShortcut(event)) return () => this.undo();
    const score = scoreOfKey(event);
    if (score !== null) return () => this.score(score);
    if (event.key === "Backspace") return () => this.undo();
    if (event.key === "ArrowLeft" && !movesControl(event)) return () => this.move(-1);
    if (event.key === "ArrowRight" && !movesControl(event)) return () => this.move(1);
    if (event.key === " " && !pressesControl(event)) return () => this.skip();
    /** @type {Record<string, () => void>} */
    const letters = { s: () => this.skip(), u: () => this.undo(), z: () => this.zoomIn(), p: () => this.togglePrediction() };
    return letters[letterOf(event)] ?? null;
  }

  /** @param {number} score */
  score(score) {
    const image = this.queue.current;
    if (image?.state !== "ready") {
      this.view.showFlash(image?.state === "broken" ? "no picture to score: s skips it" : "not loaded yet");
      return;
    }
    const known = this.isBlind() || image.repeat ? {} : { known: image.score };
    this.send(image, { kind: "score", image: image.id, score, ...known, ...this.onScreen(image) });
    this.count(image, image.score, score);
    image.score = score;
    this.view.showFlash(String(score), score);
    this.advance();
  }

  skip() {
    const image = this.queue.current;
    if (!image) return;
    this.send(image, { kind: "skip", image: image.id, queue: "score", ...this.onScreen(image) });
    this.view.showFlash("skipped");
    this.advance();
  }

  /**
   * @param {QueuedImage} image
   * @param {NewEvent} event
   */
  send(image, event) {
    const [added] = this.outbox.add(event);
    this.undoable.push({ event: added.event, image, before: image.score });
  }

  /**
   * What was on the screen; the prediction only if it could be seen.
   * @param {QueuedImage} image
   */
  onScreen({ hash, prediction, version, draw, repeat }) {
    const seen = this.showsPrediction && prediction !== null ? { prediction, version } : {};
    return { hash, ...seen, ...(draw ? { draw } : {}), ...(repeat ? { repeat } : {}) };
  }

  undo() {
    const last = this.undoable.pop();
    if (!last) {
      this.view.showFlash("nothing to undo");
      return;
    }
    const { image, event, before } = last;
    const known = image.repeat ? {} : { known: before };
    this.outbox.add({ kind: "undo", image: image.id, undoes: event, ...known });
    if (image.score !== before) this.count(image, image.score, before);
    image.score = before;
    this.queue.goTo(image);
    this.view.showFlash("undone");
    this.render();
  }

  /** @param {number} step */
  move(step) {
    if (this.queue.move(step)) this.render();
  }

  // On to the next picture; those that are known to be missing are passed over, and those that another
  // window has scored meanwhile.
  advance() {
    const skipsScored = !SCORED_ORDERS.includes(this.view.order.value);
    let missing = 0;
    while (this.queue.move(1)) {
      const image = this.queue.current;
      if (image?.missing) missing += 1;
      else if (!(image?.scoredElsewhere && skipsScored)) break;
    }
    if (missing) this.view.showFlash(missing === 1 ? "passed over a missing picture" : `passed over ${missing} missing pictures`);
    this.render();
  }

  // Whether the scores of others, and so one's own before, stay hidden.
  isBlind() {
    return this.view.order.value === "others";
  }

  /**
   * Another window did something with an image that may be shown here.
   * @param {ScoreEvent} event
   */
  scoredElsewhere(event) {
    const image = this.queue.find(event.image);
    if (!image || event.kind === "skip" || this.isBlind()) return;
    const score = (event.kind === "undo" ? event.known : event.score) ?? null;
    image.scoredElsewhere = score !== null;
    image.score = score;
    if (image === this.queue.current && score !== null) this.view.news.say(`${image.name} is scored ${score} by now, in another window.`);
    this.render();
  }

  /**
   * The server took it: whether that replaced what this page didn't know of, and what undo leaves.
   * @param {Receipt} receipt
   * @param {ScoreEvent} event
   */
  taken({ before, after }, event) {
    if (event.known === undefined) return;
    const image = this.queue.find(event.image);
    if (event.kind === "undo" && image && !this.isBlind() && !this.outbox.isPending(event.image) && image.score !== after) {
      image.score = after;
      this.render();
    }
    if (event.kind !== "score" || event.score === undefined || before === event.known) return;
    const done = this.undoable.find((one) => one.event === event.event);
    if (done) done.before = before;
    const name = (image ?? done?.image)?.name ?? "A picture";
    if (before !== event.score) this.view.news.say(replacedMessage(name, before, event.score));
  }

  /** @param {Stats} stats */
  saved(stats) {
    if (this.wasAway) this.queue.retryFailed();
    this.wasAway = false;
    this.stats = stats;
    this.view.showStats(stats);
    this.outbox.describe(this.view.saving);
  }

  outboxChanged() {
    if (this.outbox.problem) this.wasAway = true;
    this.outbox.describe(this.view.saving);
  }

  zoomIn() {
    if (this.queue.current) this.zoom.show(this.queue.current);
  }

  /**
   * Scores given so far stay with whoever gave them.
   * @param {string} name
   */
  setScorer(name) {
    setScorer(name);
    if (this.view.order.value === "others") this.start("others");
  }

  togglePrediction() {
    this.showsPrediction = !this.showsPrediction;
    this.render();
  }

  /**
   * Keeps the figures right while the server's answer is under way. Of an image that was scored before
   * this page doesn't know the score: no image is scored more or less by it.
   * @param {QueuedImage} image
   * @param {number | null} before
   * @param {number | null} after
   */
  count({ repeat }, before, after) {
    const { stats } = this;
    if (!stats) return;
    if (repeat && (before === null || after === null)) {
      stats.today = Math.max(0, stats.today + (after === null ? -1 : 1));
      return;
    }
    if (before !== null) stats.distribution[Math.round(before)] -= 1;
    if (after !== null) stats.distribution[Math.round(after)] += 1;
    const added = Number(after !== null) - Number(before !== null);
    stats.scored += added;
    stats.unscored -= added;
    stats.today = Math.max(0, stats.today + (after === null ? -1 : before === null ? 1 : 0));
  }

  render() {
    const { queue, view } = this;
    const image = queue.current;
    if (image !== this.shown) queue.retry(image);
    this.shown = image;
    view.keepNear(queue.images.slice(Math.max(0, queue.index - 1), queue.index + 4));
    view.showImage(image, this.messageFor(image), this.showsPrediction);
    view.root.dataset.ready = String(queue.readyCount);
    view.root.dataset.missing = String(queue.images.filter((one) => one.missing).length);
    view.root.dataset.ahead = String(queue.images.length - queue.index);
    this.outbox.describe(view.saving);
    cancelAnimationFrame(this.frame ?? 0);
    // Not before the picture: the figures beside it can wait for the frame after.
    this.frame = requestAnimationFrame(() => setTimeout(() => this.renderSide()));
  }

  renderSide() {
    if (this.stats) this.view.showStats(this.stats);
    const recent = this.undoable.slice(-RECENT).reverse().map((done) => done.image);
    this.view.showRecent([...new Set(recent)], (image) => {
      this.queue.goTo(image);
      this.render();
    });
  }

  /**
   * What stands where the picture would be.
   * @param {QueuedImage | null} image
   */
  messageFor(image) {
    if (image?.missing) return message("This picture is missing and can't be shown.", `${image.name}: ${image.missing} Its scores are kept. Press s to skip it.`);
    if (image?.state === "broken") {
      return message("This picture can't be shown.", `${image.name} can't be had just now and is tried again. ${image.away ?? ""} Press s to skip it.`);
    }
    if (image) return message("loading …");
    if (!this.queue.isComplete || this.queue.explanation) return message(this.queue.explanation ?? "loading …");
    return this.allDone();
  }

  allDone() {
    const unscored = this.queue.images.filter((image) => image.score === null && !image.repeat);
    const passed = unscored.filter((image) => !image.missing);
    const missing = unscored.length - passed.length;
    const made = message("Every image here has been seen.", "Choose another order above, or look at your scores again.");
    if (missing) {
      const [files, they] = missing === 1 ? ["One file is", "it lies"] : [`${missing} files are`, "they lie"];
      made.push(element("span", "", `${files} missing: import the folder that ${they} in now.`));
    }
    if (passed.length) {
      const back = button("plain", `Back to ${passed.length} left without a score`, () => {
        this.queue.goTo(passed[0]);
        this.render();
      });
      made.push(back);
    }
    return made;
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.generation += 1;
    this.stopListening();
    this.zoom.close();
    this.queue.close();
    this.view.close();
  }
}

/**
 * What the server knows of this session, as the page keeps it: one object per image.
 * @param {RecentEvents} recent
 * @returns {Undoable[]}
 */
function undoableOf({ items, events }) {
  const repeats = new Set(events.filter(({ repeat }) => repeat).map(({ image }) => image));
  const images = new Map(items.map((item) => [item.id, { ...item, repeat: repeats.has(item.id) }]));
  return events.flatMap(({ event, image: id, skip, before }) => {
    const image = images.get(id);
    return image ? { event, image, before: skip ? image.score : before } : [];
  });
}

/**
 * @param {string} title
 * @param {string} [more]
 * @returns {HTMLElement[]}
 */
function message(title, more) {
  const made = [element("strong", "", title)];
  return more ? [...made, element("span", "", more)] : made;
}

export default mounted(ScorePage);
