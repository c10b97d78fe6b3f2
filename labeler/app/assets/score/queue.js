// The images of a sitting in their order: those behind, the present one, and those ahead, whose
// pictures are fetched and decoded before they are needed.

const AHEAD = 14; // pictures made ready before they are needed
const BEHIND = 4; // pictures kept ready for going back
const BATCH = 40; // images asked for at a time
const ASK_BELOW = 24; // ask for more when fewer images than this are ahead
const MOST_NAMED = 700; // images that a request names: an address of some 7 KB
const JUST_SEEN = 40; // images behind the present one whose scores may be on their way
const LOOK_AGAIN_MS = 5000; // after the last one: an import or another version may bring more
const SCORED_ORDERS = ["revise", "others"]; // what they offer has a score, maybe somebody else's

class Deck {
  constructor(changed) {
    this.changed = changed;
    this.items = []; // [] until an order has started
    this.asking = null; // the request for more that is under way
    this.round = 0; // a later order makes earlier answers void
    this.done = false; // whether the server has no more for this order, for now
    this.failures = 0;
    this.clear();
  }

  get current() {
    return this.items[this.at] ?? null;
  }

  // Starts an order anew. `past`: items already handled, oldest first, to go back to.
  start(query, past, held) {
    this.clear();
    this.query = query;
    this.held = held; // () => ids of images whose score is not in the store yet
    this.items = past;
    this.at = past.length;
    this.refill();
  }

  clear() {
    clearTimeout(this.timer);
    for (const item of this.items) item.element?.remove();
    this.round += 1;
    this.items = [];
    this.at = 0;
    this.asking = null;
    this.done = false;
    this.explanation = null;
  }

  // Moves by `step`, at most to one place behind the last image (where "all done" stands).
  move(step) {
    const to = Math.min(this.items.length, Math.max(0, this.at + step));
    if (to === this.at) return false;
    this.at = to;
    this.refillLater();
    return true;
  }

  // Makes `item` the present one, wherever it is; a strange one is put in front of the present one.
  goTo(item) {
    const place = this.items.findIndex((other) => other.id === item.id);
    if (place >= 0) {
      if (this.items[place] !== item) this.items[place].element?.remove();
      this.items[place] = item;
      this.at = place;
    } else this.items.splice(this.at, 0, item);
    this.refill();
  }

  find(id) {
    return this.items.find((item) => item.id === id) ?? null;
  }

  // The next picture is painted first; fetching more must not compete with that.
  refillLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refill(), 40);
  }

  refill() {
    this.preload();
    if (this.items.length - this.at >= ASK_BELOW) return;
    if (this.done) this.lookAgain();
    else this.ask();
  }

  lookAgain() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (document.hidden ? this.lookAgain() : this.ask()), LOOK_AGAIN_MS);
  }

  async ask() {
    if (this.asking) return;
    const round = this.round;
    this.asking = getJson("api/queue", { ...this.query, limit: BATCH, exclude: this.exclude().join() });
    try {
      const body = await this.asking;
      if (round === this.round) this.take(body);
    } catch {
      if (round === this.round) this.askLater();
    }
  }

  askLater() {
    this.asking = null;
    const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
    this.timer = setTimeout(() => this.refill(), wait);
    this.changed();
  }

  // What the server must not offer again, as far as a request can name it: what lies ahead, what was
  // scored a moment ago, and what was passed by in this sitting. The server itself leaves out what it
  // knows as scored, except in the orders that are made of such images.
  exclude() {
    const all = SCORED_ORDERS.includes(this.query.order);
    const named = this.items.filter((item, place) => all || item.again || item.score === null || place >= this.at - JUST_SEEN);
    return [...new Set([...this.held(), ...named.map((item) => item.id)])].slice(-MOST_NAMED);
  }

  take(body) {
    const waited = this.done && this.failures === 0 && this.explanation === body.explanation;
    this.asking = null;
    this.failures = 0;
    this.explanation = body.explanation;
    this.stats = body.stats;
    const known = new Set(this.items.map((item) => item.id));
    const fresh = body.items.filter((item) => !known.has(item.id));
    if (!fresh.length && this.nameAlso(body.items)) return this.ask();
    this.items.push(...fresh);
    this.done = fresh.length === 0;
    this.preload();
    if (this.done) this.lookAgain();
    if (!this.done || !waited) this.changed(); // else all stands there already
  }

  // Whether there is something among `items`, all seen before, that the next request names besides.
  nameAlso(items) {
    const unnamed = items.map((item) => this.find(item.id)).filter((item) => !item.again);
    for (const item of unnamed) item.again = true;
    return unnamed.length > 0;
  }

  preload() {
    this.items.forEach((item, place) => {
      const near = place >= this.at - BEHIND && place <= this.at + AHEAD;
      if (near && !item.element) this.load(item);
      if (!near && item.element) {
        item.element.remove();
        item.element = null;
        item.state = null;
      }
    });
  }

  load(item) {
    const picture = new Image();
    picture.alt = "";
    picture.draggable = false;
    picture.decoding = "sync";
    picture.style.setProperty("--most-width", `${3 * item.width}px`);
    picture.style.setProperty("--most-height", `${3 * item.height}px`);
    item.element = picture;
    item.state = "loading";
    const settled = async (state) => {
      if (item.element !== picture) return;
      item.state = state;
      const why = state === "broken" ? await whyNoPicture(item, "preview") : {};
      if (item.element !== picture) return; // tried again meanwhile
      item.missing = why.missing ?? ""; // in a sentence
      item.away = why.away ?? "";
      if (state === "broken" && !item.missing) this.retryLater(item);
      this.changed();
    };
    picture.src = imageUrl(item, "preview");
    picture.decode().then(() => settled("ready"), () => settled("broken"));
  }

  // A picture that failed is tried again when it is wanted again (the server may have been away).
  retry(item) {
    if (item?.state !== "broken") return;
    item.element.remove();
    this.load(item);
  }

  // Of a picture that is there, but can't be had just now.
  retryLater(item) {
    const { round } = this;
    const { element } = item;
    const again = () => round === this.round && item.element === element && this.retry(item);
    setTimeout(again, RETRY_MS.at(-1));
  }

  // The server is back: what could not be had while it was away is made ready again.
  retryFailed() {
    for (const item of this.items) if (!item.missing) this.retry(item);
  }

  // How many pictures ahead can be shown at once.
  get ready() {
    const ahead = this.items.slice(this.at, this.at + AHEAD + 1);
    const waiting = ahead.findIndex((item) => item.state !== "ready");
    return waiting < 0 ? ahead.length : waiting;
  }

  close() {
    clearTimeout(this.timer);
    this.round += 1;
  }
}
