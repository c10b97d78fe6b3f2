// Where the cards of a review queue come from: one page at a time, the next one made ready while the
// person looks at this one, its pictures decoded.

const PAGE = 40;
const REST_MS_TO_PREPARE = 700;

class Feed {
  constructor(queue, make) {
    this.queue = queue;
    this.make = make; // an item and its page → the card
    this.ready = null; // the cards that come next
    this.dealing = 0; // how often cards were dealt anew
    this.used = false; // whether the queue has nothing more beside what is on the screen
  }

  // The first page; `first` is an image that should stand at its head. With `ahead` it is not for the
  // screen yet.
  async open(unsent, { first = null, ahead = false } = {}) {
    const query = { queue: this.queue, limit: PAGE, exclude: unsent.join(), scorer: scorer() };
    if (first !== null) query.first = first;
    if (ahead) query.ahead = 1;
    const page = await getJson("api/review", query);
    this.used = page.cards.length === 0;
    return { ...page, cards: page.cards.map((item) => this.make(item, page)) };
  }

  // Makes the next cards ready; `shown` are the images on the screen. Does nothing while it does.
  prepare(shown, unsent) {
    if (!this.ready && !this.used) this.preparing ??= this.fetchAhead(shown, unsent).finally(() => (this.preparing = null));
    return this.preparing ?? Promise.resolve();
  }

  async fetchAhead(shown, unsent) {
    const dealing = this.dealing;
    const query = { queue: this.queue, limit: PAGE, shown: shown.join(), exclude: unsent.join(), ahead: 1 };
    const page = await getJson("api/review", query);
    const cards = page.cards.map((item) => this.make(item, page));
    await Promise.all(cards.map((card) => card.decoded()));
    if (dealing !== this.dealing) return; // made before what is on the screen now
    this.used = cards.length === 0;
    this.ready = cards.length ? cards : null;
  }

  // Other cards beside those on the screen, `shown`, with all that was answered meanwhile; their
  // pictures are decoded. What was made ready before is out of date then.
  async deal(shown, unsent, limit) {
    const query = { queue: this.queue, limit, shown: shown.join(), exclude: unsent.join() };
    const page = await getJson("api/review", query);
    const cards = page.cards.map((item) => this.make(item, page));
    await Promise.all(cards.map((card) => card.decoded()));
    this.ready = null;
    this.dealing += 1;
    return cards;
  }

  // The cards that are ready, handed out once.
  take() {
    const cards = this.ready ?? [];
    this.ready = null;
    return cards;
  }
}

// The first pages of the queues behind the other tabs, made ready while nobody types: any score makes
// them out of date.
class OtherQueues {
  constructor(newFeed) {
    this.newFeed = newFeed;
    this.clear();
  }

  clear() {
    clearTimeout(this.timer);
    this.ready = new Map(); // queue → { feed, page }
  }

  // `busy` tells whether something is still to be saved.
  prepareSoon(queues, busy) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.prepare(queues, busy).catch(() => {}), REST_MS_TO_PREPARE);
  }

  async prepare(queues, busy) {
    const ready = this.ready;
    for (const queue of queues.filter((queue) => !ready.has(queue))) {
      if (busy()) return;
      const feed = this.newFeed(queue);
      const page = await feed.open([], { ahead: true });
      if (ready !== this.ready) return;
      ready.set(queue, { feed, page });
    }
  }
}
