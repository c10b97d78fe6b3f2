// @ts-check
// The images of a session in their order: those behind, the present one, and those ahead, whose
// pictures are fetched and decoded before they are needed.

/** @import { QueueItem, QueuePage } from "../shared/payloads" */

import { RETRY_MS, getJson, imageUrl, retryDelay, whyNoPicture } from "../shared/api.js";

/**
 * An image with its picture while that is near: `missing` and `away` say why there is none.
 * @typedef {QueueItem & {
 *   picture?: HTMLImageElement | null,
 *   state?: "loading" | "ready" | "broken" | null,
 *   missing?: string,
 *   away?: string,
 *   excluded?: boolean,
 *   scoredElsewhere?: boolean,
 * }} QueuedImage
 */

const AHEAD = 14; // pictures made ready before they are needed
const BEHIND = 4; // pictures kept ready for going back
const BATCH = 40; // images asked for at a time
const ASK_BELOW = 24; // ask for more when fewer images than this are ahead
const MOST_EXCLUDED = 700; // images that a request names: an address of some 7 KB
const JUST_SEEN = 40; // images behind the present one whose scores may be on their way
const ASK_AGAIN_MS = 5000; // after the last one: an import or another version may bring more

/** Orders of images that have a score already, maybe somebody else's. */
export const SCORED_ORDERS = ["revise", "others"];

export class ImageQueue {
  /** @type {QueuedImage[]} [] until an order has started */
  images = [];
  index = 0; // of the present one
  isAsking = false; // whether a request for more is under way
  isComplete = false; // whether the server has no more for this order, for now
  generation = 0; // a later order makes earlier answers void
  failures = 0;
  /** @type {string | null} */
  explanation = null;
  /** @type {Record<string, string>} */
  query = {};
  /** @type {() => number[]} ids of images whose score is not in the store yet */
  pendingIds = () => [];
  /** @type {number | undefined} */
  timer;

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
  }

  /** @returns {QueuedImage | null} */
  get current() {
    return this.images[this.index] ?? null;
  }

  /**
   * Starts an order anew.
   * @param {Record<string, string>} query
   * @param {QueueItem[]} past images already handled, oldest first, to go back to
   * @param {() => number[]} pendingIds
   */
  start(query, past, pendingIds) {
    this.clear();
    this.query = query;
    this.pendingIds = pendingIds;
    this.images = past;
    this.index = past.length;
    this.refill();
  }

  clear() {
    clearTimeout(this.timer);
    for (const image of this.images) image.picture?.remove();
    this.generation += 1;
    this.images = [];
    this.index = 0;
    this.isAsking = false;
    this.isComplete = false;
    this.explanation = null;
  }

  /**
   * Moves by `step`, at most to one place behind the last image (where "all done" stands).
   * @param {number} step
   */
  move(step) {
    const index = Math.min(this.images.length, Math.max(0, this.index + step));
    if (index === this.index) return false;
    this.index = index;
    this.refillLater();
    return true;
  }

  /**
   * Makes `image` the present one, wherever it is; one from elsewhere is put in front of the present one.
   * @param {QueueItem} image
   */
  goTo(image) {
    const index = this.images.findIndex((other) => other.id === image.id);
    if (index >= 0) {
      if (this.images[index] !== image) this.images[index].picture?.remove();
      this.images[index] = image;
      this.index = index;
    } else this.images.splice(this.index, 0, image);
    this.refill();
  }

  /**
   * @param {number} id
   * @returns {QueuedImage | undefined}
   */
  find(id) {
    return this.images.find((image) => image.id === id);
  }

  // The next picture is painted first; fetching more must not compete with that.
  refillLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refill(), 40);
  }

  refill() {
    this.preload();
    if (this.images.length - this.index >= ASK_BELOW) return;
    if (this.isComplete) this.askAgainLater();
    else this.ask();
  }

  askAgainLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (document.hidden ? this.askAgainLater() : this.ask()), ASK_AGAIN_MS);
  }

  async ask() {
    if (this.isAsking) return;
    const { generation } = this;
    this.isAsking = true;
    try {
      const page = await getJson("api/queue", { ...this.query, limit: BATCH, exclude: this.exclude().join() });
      if (generation === this.generation) this.take(page);
    } catch {
      if (generation === this.generation) this.retryAsking();
    }
  }

  retryAsking() {
    this.isAsking = false;
    this.timer = setTimeout(() => this.refill(), retryDelay(this.failures++));
    this.changed();
  }

  // What the server must not offer again, as far as a request can name it: what lies ahead, what was
  // scored a moment ago, and what was passed by in this session. The server itself leaves out what it
  // knows as scored, except in the orders that are made of such images.
  exclude() {
    const all = SCORED_ORDERS.includes(this.query.order);
    const named = this.images.filter((image, k) => all || image.excluded || image.score === null || k >= this.index - JUST_SEEN);
    return [...new Set([...this.pendingIds(), ...named.map((image) => image.id)])].slice(-MOST_EXCLUDED);
  }

  /** @param {QueuePage} page */
  take(page) {
    const isKnown = this.isComplete && this.failures === 0 && this.explanation === page.explanation;
    this.isAsking = false;
    this.failures = 0;
    this.explanation = page.explanation;
    this.leaveBehind(page.items.filter((image) => image.repeat).map((image) => image.id));
    const known = new Set(this.images.map((image) => image.id));
    const added = page.items.filter((image) => !known.has(image.id));
    if (!added.length && this.excludeAlso(page.items)) {
      this.ask();
      return;
    }
    this.images.push(...added);
    this.isComplete = added.length === 0;
    this.preload();
    if (this.isComplete) this.askAgainLater();
    if (!this.isComplete || !isKnown) this.changed(); // else all stands there already
  }

  /**
   * What is shown once more leaves the place where it was shown before, with the score that it had.
   * @param {number[]} ids
   */
  leaveBehind(ids) {
    for (const id of ids) {
      const index = this.images.findIndex((image) => image.id === id);
      if (index < 0 || index >= this.index) continue;
      this.images.splice(index, 1)[0].picture?.remove();
      this.index -= 1;
    }
  }

  /**
   * Whether there is something among `items`, all seen before, that the next request excludes besides.
   * @param {QueueItem[]} items
   */
  excludeAlso(items) {
    const ids = new Set(items.map((item) => item.id));
    const found = this.images.filter((image) => ids.has(image.id) && !image.excluded);
    for (const image of found) image.excluded = true;
    return found.length > 0;
  }

  preload() {
    this.images.forEach((image, k) => {
      const isNear = k >= this.index - BEHIND && k <= this.index + AHEAD;
      if (isNear && !image.picture) this.load(image);
      if (!isNear && image.picture) {
        image.picture.remove();
        image.picture = null;
        image.state = null;
      }
    });
  }

  /** @param {QueuedImage} image */
  load(image) {
    const picture = Object.assign(new Image(), { alt: "", draggable: false, decoding: "sync" });
    picture.style.setProperty("--most-width", `${3 * image.width}px`);
    picture.style.setProperty("--most-height", `${3 * image.height}px`);
    image.picture = picture;
    image.state = "loading";
    /** @param {"ready" | "broken"} state */
    const settle = async (state) => {
      if (image.picture !== picture) return;
      image.state = state;
      const { missing, away } = state === "broken" ? await whyNoPicture(image, "preview") : { missing: "", away: "" };
      if (image.picture !== picture) return; // tried again meanwhile
      image.missing = missing;
      image.away = away;
      if (state === "broken" && !missing) this.retryLater(image);
      this.changed();
    };
    picture.src = imageUrl(image, "preview");
    picture.decode().then(
      () => settle("ready"),
      () => settle("broken"),
    );
  }

  /**
   * Tries a picture again that failed: the server may have been away.
   * @param {QueuedImage | null} image
   */
  retry(image) {
    if (image?.state !== "broken") return;
    image.picture?.remove();
    this.load(image);
  }

  /**
   * Of a picture that is there, but can't be had just now.
   * @param {QueuedImage} image
   */
  retryLater(image) {
    const { generation } = this;
    const { picture } = image;
    setTimeout(() => {
      if (generation === this.generation && image.picture === picture) this.retry(image);
    }, RETRY_MS.at(-1));
  }

  // The server is back: what could not be had while it was away is made ready again.
  retryFailed() {
    for (const image of this.images) if (!image.missing) this.retry(image);
  }

  // How many pictures from the present one on can be shown at once.
  get readyCount() {
    const ahead = this.images.slice(this.index, this.index + AHEAD + 1);
    const waiting = ahead.findIndex((image) => image.state !== "ready");
    return waiting < 0 ? ahead.length : waiting;
  }

  close() {
    clearTimeout(this.timer);
    this.generation += 1;
  }
}
