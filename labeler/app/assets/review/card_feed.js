// @ts-check
// Where the cards of a review queue come from: one page at a time, the next one made ready while the
// person looks at this one, its pictures decoded.

/** @import { CardItem, ReviewPage, ReviewQueue } from "../shared/payloads" */
/** @import { Card } from "./card.js" */

import { getJson } from "../shared/api.js";
import { scorer } from "../shared/storage.js";

/** @typedef {Omit<ReviewPage, "cards"> & { cards: Card[] }} OpenedPage */

export const PAGE_SIZE = 40; // cards
const REST_MS = 700;

export class CardFeed {
  /** @type {Card[]} the cards that come next */
  ready = [];
  generation = 0; // how often cards were replaced
  isEmpty = false; // whether the queue has nothing more beside what is on the screen
  /** @type {Promise<void> | null} */
  preparing = null;

  /**
   * @param {ReviewQueue} queue
   * @param {(item: CardItem) => Card} makeCard
   */
  constructor(queue, makeCard) {
    this.queue = queue;
    this.makeCard = makeCard;
  }

  /**
   * The first page; `first` is an image that should stand at its head. With `ahead` it is not for the
   * screen yet.
   * @param {number[]} pending ids of images whose score is not in the store yet
   * @param {{ first?: number | null, ahead?: boolean }} [options]
   * @returns {Promise<OpenedPage>}
   */
  async open(pending, { first = null, ahead = false } = {}) {
    /** @type {Record<string, string | number>} */
    const query = { queue: this.queue, limit: PAGE_SIZE, exclude: pending.join(), scorer: scorer() };
    if (first !== null) query.first = first;
    if (ahead) query.ahead = 1;
    /** @type {ReviewPage} */
    const page = await getJson("api/review", query);
    this.isEmpty = page.cards.length === 0;
    return { ...page, cards: page.cards.map(this.makeCard) };
  }

  /**
   * Makes the next cards ready; settles when they are.
   * @param {number[]} shown ids of the images on the screen
   * @param {number[]} pending
   */
  prepare(shown, pending) {
    if (!this.ready.length && !this.isEmpty) this.preparing ??= this.fetchAhead(shown, pending).finally(() => (this.preparing = null));
    return this.preparing ?? Promise.resolve();
  }

  /**
   * @param {number[]} shown
   * @param {number[]} pending
   */
  async fetchAhead(shown, pending) {
    const { generation } = this;
    const cards = await this.fetch({ shown: shown.join(), exclude: pending.join(), limit: PAGE_SIZE, ahead: 1 });
    if (generation !== this.generation) return; // made before what is on the screen now
    this.isEmpty = cards.length === 0;
    this.ready = cards;
  }

  /**
   * Other cards beside those on the screen, with all that was answered meanwhile. What was made ready
   * before is out of date then.
   * @param {number[]} shown
   * @param {number[]} pending
   */
  async replace(shown, pending) {
    const cards = await this.fetch({ shown: shown.join(), exclude: pending.join(), limit: PAGE_SIZE });
    this.ready = [];
    this.generation += 1;
    return cards;
  }

  /**
   * Cards whose pictures are decoded.
   * @param {Record<string, string | number>} query
   */
  async fetch(query) {
    /** @type {ReviewPage} */
    const page = await getJson("api/review", { queue: this.queue, ...query });
    const cards = page.cards.map(this.makeCard);
    await Promise.all(cards.map((card) => card.decoded()));
    return cards;
  }

  // The cards that are ready, handed out once.
  take() {
    const cards = this.ready;
    this.ready = [];
    return cards;
  }
}

/** The first pages of the queues behind the other tabs, made ready while nobody types: any score makes
 * them out of date. */
export class OtherQueues {
  /** @type {Map<ReviewQueue, { feed: CardFeed, page: OpenedPage }>} */
  ready = new Map();
  /** @type {number | undefined} */
  timer;

  /** @param {(queue: ReviewQueue) => CardFeed} newFeed */
  constructor(newFeed) {
    this.newFeed = newFeed;
  }

  clear() {
    clearTimeout(this.timer);
    this.ready = new Map();
  }

  /**
   * @param {ReviewQueue[]} queues
   * @param {() => boolean} isBusy whether something is still to be saved
   */
  prepareSoon(queues, isBusy) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.prepare(queues, isBusy).catch(() => {}), REST_MS);
  }

  /**
   * @param {ReviewQueue[]} queues
   * @param {() => boolean} isBusy
   */
  async prepare(queues, isBusy) {
    const { ready } = this;
    for (const queue of queues.filter((queue) => !ready.has(queue))) {
      if (isBusy()) return;
      const feed = this.newFeed(queue);
      const page = await feed.open([], { ahead: true });
      if (ready !== this.ready) return;
      ready.set(queue, { feed, page });
    }
  }
}
