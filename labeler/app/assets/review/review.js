// The Review page: cards of likely mistakes, handled by one key each. What the keys do belongs to
// the focused card, which always is one that can be seen. There is one focus: a card that gets the
// browser's is the focused one, and where a key moves the focus to another card the browser's follows.

const AT_ONCE = 8; // after so many answers the cards out of sight are dealt anew
const LOW = 14; // with fewer cards than this on the screen the next page joins them

// The images on cards, near-duplicates included.
const imagesOn = (cards) => cards.flatMap((card) => [card.item.id, ...card.item.together.map((item) => item.id)]);

class ReviewPage {
  constructor(parent, data) {
    this.cards = [];
    this.undoable = [];
    this.others = new OtherQueues((queue) => this.newFeed(queue));
    this.root = element("div", "labeler review");
    this.outlook = new Outlook();
    this.head = new ReviewHead((queue) => this.choose(queue), () => this.undo());
    this.root.append(this.head.tabs, this.head.row, this.outlook.root, (this.grid = element("div", "cards")), (this.words = element("div", "words")));
    this.peek = new Peek(this.root);
    parent.append(this.root);
    this.zoom = new Zoom(this.root);
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    releaseFocus();
    this.acts = {
      focus: (card) => this.focusOn(card),
      score: (card, score) => this.score(card, score),
      confirm: (card) => this.confirm(card),
      keep: (card) => this.keep(card),
      skip: (card) => this.skip(card),
      zoom: (card) => this.zoom.show(card.item),
      peek: (card) => this.peek.show(card),
    };
    this.open(data, REVIEW_QUEUES[0][0]);
  }

  update(data) {
    const same = ["project", "threshold", "version"].every((name) => data[name] === this.data[name]);
    if (!same) this.open(data, this.queue);
  }

  open(data, queue) {
    this.data = data;
    this.stopListening?.();
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.outbox.listen((what, body) => this.heard(what, body));
    this.choose(queue);
  }

  heard(what, body) {
    if (what === "elsewhere") this.elsewhere(body);
    if (what === "taken") this.taken(body);
    this.outbox.describe(this.head.saving);
    if (what === "saved") this.rested();
  }

  // Another window scored an image: its card leaves here, too, and no near-duplicate is scored again
  // together with another card.
  elsewhere(event) {
    if (!["score", "confirm"].includes(event.kind)) return;
    const card = this.cards.find((one) => one.item.id === event.image);
    this.others.clear();
    if (card) {
      this.handled.add(event.image);
      this.letGo(card, String(event.score));
      this.left = Math.max(0, this.left - 1);
      this.head.news.say(`${card.item.name} is scored ${event.score} by now, in another window.`);
      this.settle();
    }
    for (const one of this.cards) one.twins.scoredElsewhere(event.image, event.score);
  }

  // The server took it: says so where that replaced a score that this page didn't know of.
  taken({ event, before }) {
    if (!["score", "confirm"].includes(event.kind) || before === (event.known ?? null) || before === event.score) return;
    const item = this.undoable.map((done) => done.card?.item).find((one) => one?.id === event.image);
    this.head.news.say(replacedWords(item ?? { name: "A near-duplicate" }, before, event.score));
  }

  // Opens a queue; `first` is an image that should stand at its head.
  async choose(queue, first = null) {
    this.queue = queue;
    const prepared = first === null ? this.others.ready.get(queue) : null;
    this.others.clear();
    this.head.choose(queue);
    const feed = (this.feed = prepared?.feed ?? this.newFeed(queue));
    if (prepared) return this.begin(prepared.page);
    this.clear("loading …");
    this.outbox.adopt();
    if (this.outbox.pending.length) await Promise.race([this.outbox.flush(), pause(2500)]);
    for (let tries = 0; feed === this.feed; tries++) {
      try {
        const page = await feed.open(this.outbox.imageIds(), { first });
        if (feed === this.feed) this.begin(page);
        return;
      } catch (error) {
        this.words.textContent = error.status ? error.message : "The server doesn't answer; trying again …";
        await pause(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
      }
    }
  }

  newFeed(queue) {
    return new Feed(queue, (item, page) => new Card(item, page, this.acts));
  }

  // The keys rest: what the scores would move, and the other tabs' first pages.
  rested() {
    this.outlook.ask(() => this.cards);
    if (this.queue === MISTAKES && this.answers >= AT_ONCE && !this.outbox.pending.length) this.dealAnew();
    const others = REVIEW_QUEUES.map(([queue]) => queue).filter((queue) => queue !== this.queue);
    this.others.prepareSoon(others, () => this.outbox.pending.length > 0);
  }

  // The answers may have told what the cards farther down are: those that nobody has seen make room
  // for likelier ones.
  async dealAnew() {
    const feed = this.feed;
    this.answers = 0;
    const kept = new Set(this.inSight());
    let cards = [];
    try {
      cards = await feed.deal(imagesOn([...kept]), this.outbox.imageIds(), PAGE);
    } catch {
      return; // the old cards do
    }
    if (feed !== this.feed || !cards.length) return;
    for (const card of this.inSight()) kept.add(card);
    for (const card of this.cards.filter((card) => !kept.has(card))) card.root.remove();
    this.cards = this.cards.filter((card) => kept.has(card));
    this.show(cards);
  }

  inSight() {
    return this.cards.filter((card) => {
      const { top, bottom } = card.root.getBoundingClientRect();
      const touched = card === this.focused || card.twins.leftOut.size > 0;
      return touched || (bottom > 0 && top < window.innerHeight);
    });
  }

  begin(page) {
    this.undoable = page.events.map((act) => ({ image: act.image, events: [act, ...act.together] }));
    this.clear("");
    this.root.dataset.threshold = this.data.threshold; // which one these cards are for
    this.left = page.waiting;
    this.counts = page.round;
    this.explanation = page.explanation;
    this.show(page.cards);
  }

  clear(words) {
    this.cards = [];
    this.handled = new Set(); // images answered here: an answer on its way may still deal them
    this.answers = 0;
    this.focused = null;
    this.lastLook = false;
    this.outlook.clear();
    this.grid.replaceChildren();
    delete this.root.dataset.threshold;
    this.words.textContent = words;
    this.peek.show(null);
    this.mark();
  }

  // Every image that is on the screen, near-duplicates on the cards included.
  shown() {
    return imagesOn(this.cards);
  }

  show(cards) {
    const here = new Set([...this.shown(), ...this.handled]);
    for (const card of cards) if (!imagesOn([card]).some((image) => here.has(image))) this.put(card);
    if (!this.focused && this.cards.length) this.focusOn(this.cards[0]);
    this.words.textContent = this.cards.length ? "" : this.explanation ?? "Nothing left here: train again to find more.";
    this.mark();
    this.rested();
    this.refill();
  }

  put(card, place = this.cards.length) {
    this.grid.insertBefore(card.root, this.cards[place]?.root ?? null);
    this.cards.splice(place, 0, card);
  }

  // Lets the next cards in when few are left, and has those after them made ready.
  async refill() {
    const feed = this.feed;
    // What was too much like a card on the screen may come when that one is gone.
    if (!this.cards.length && this.left > 0 && feed.used && !this.lastLook) {
      this.lastLook = true;
      feed.used = false;
    }
    try {
      await feed.prepare(this.shown(), this.outbox.imageIds());
    } catch {
      setTimeout(() => feed === this.feed && this.refill(), RETRY_MS[2]);
    }
    if (feed !== this.feed) return;
    this.root.dataset.ready = Boolean(feed.ready);
    if (this.cards.length >= LOW || !feed.ready) return;
    this.lastLook = false;
    this.show(feed.take());
  }

  key(event) {
    if (!this.root.isConnected || this.zoom.key(event) || !isForPage(event)) return;
    const act = this.actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
    if (!this.zoom.open) this.focused?.takeFocus();
  }

  actOf(event) {
    const card = this.focused;
    if (isUndoShortcut(event) || event.key === "Backspace" || letterOf(event) === "u") return () => this.undo();
    if (!card) return null;
    const score = scoreOfKey(event);
    if (score !== null) return () => this.score(card, score);
    const letters = {
      s: () => this.skip(card),
      z: () => this.zoom.show(card.lookedAt()),
      k: () => this.keep(card),
      n: () => card.twins.toggleAll(),
    };
    if (letters[letterOf(event)]) return letters[letterOf(event)];
    if (event.key === " " && !pressesControl(event)) return () => this.skip(card);
    if (event.key === "Enter" && !pressesControl(event)) return () => this.confirm(card);
    if (movesControl(event)) return null;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns() }[event.key];
    return step ? () => this.moveFocus(step) : null;
  }

  score(card, score) {
    this.handle(card, { kind: "score", score }, String(score));
  }

  confirm(card) {
    // Taking the model's word against one's own score is a correction; otherwise it is agreed with.
    // A near-duplicate may lie on the other side of the threshold: its score speaks for itself.
    const kind = card.item.queue === "hand-score" ? "score" : "confirm";
    this.handle(card, { kind, score: card.item.confirm }, "✓", () => ({ kind: "score", score: card.item.confirm }));
  }

  // Each keeps its own score.
  keep(card) {
    if (card.item.queue !== "hand-score") return;
    const kept = (item) => ({ kind: "confirm", score: item.score });
    this.handle(card, kept(card.item), "kept", kept);
  }

  skip(card) {
    this.handle(card, { kind: "skip" }, "skipped");
  }

  // Sends what was done with a card and lets it go; only once per card. Its near-duplicates get the
  // same, or what `alike` says.
  handle(card, what, mark, alike = () => what) {
    const place = this.cards.indexOf(card);
    if (place < 0) return;
    this.others.clear();
    this.answers += 1;
    const items = [card.item, ...card.twins.chosen()];
    const events = items.map((item, k) => this.eventOf(card.item, item, k ? alike(item) : what));
    this.undoable.push({ image: card.item.id, events: this.outbox.addTogether(events), card, place, counts: { ...this.counts }, left: this.left });
    items.forEach((item, k) => this.tally(item, events[k]));
    for (const item of items) this.handled.add(item.id);
    this.letGo(card, mark);
    this.root.dataset.handled = Number(this.root.dataset.handled ?? 0) + 1;
    this.settle();
  }

  letGo(card, mark) {
    const place = this.cards.indexOf(card);
    this.cards.splice(place, 1);
    this.peek.show(null);
    if (this.focused === card) this.focusOn(this.cards[place] ?? this.cards[place - 1] ?? null);
    card.leave(mark).then(() => card.root.classList.contains("leaving") && card.root.remove());
  }

  settle() {
    if (!this.cards.length) this.words.textContent = "Nothing left here: train again to find more.";
    this.mark();
    this.refill();
  }

  eventOf(lead, item, what) {
    const { version, threshold } = lead;
    const known = item.score;
    return { ...what, image: item.id, known, hash: item.hash, queue: item.queue, prediction: item.prediction, version, threshold };
  }

  // Whether an image belongs to the queue on the screen.
  holds(item) {
    return item.queue === this.queue || (this.queue === MISTAKES && item.queue !== "hand-score");
  }

  tally(item, { kind, score }) {
    if (this.holds(item)) this.left = Math.max(0, this.left - 1);
    const sideOf = (value) => value / 10 >= this.data.threshold;
    const agrees = kind === "confirm" || (item.queue === "hand-score" ? score === item.score : sideOf(score) === (item.queue === "false-positive"));
    this.counts[kind === "skip" ? "skipped" : agrees ? "confirmed" : "corrected"] += 1;
  }

  undo() {
    const last = this.undoable.pop();
    if (!last) {
      this.words.textContent = "Nothing to undo.";
      return;
    }
    this.others.clear();
    this.outbox.addTogether(last.events.map(({ event, image, known }) => ({ kind: "undo", image, undoes: event, known })));
    if (!last.card) {
      this.choose(this.queue, last.image);
      return;
    }
    for (const { image } of last.events) this.handled.delete(image);
    const card = new Card(last.card.item, last.card.item, this.acts);
    card.twins.leaveOut(last.card.twins.leftOut);
    last.card.root.remove();
    this.put(card, Math.min(last.place, this.cards.length));
    this.counts = last.counts;
    this.left = last.left;
    this.words.textContent = "";
    this.focusOn(card);
    this.mark();
  }

  focusOn(card) {
    if (this.focused === card) return;
    this.focused?.focus(false);
    this.focused = card;
    card?.focus(true);
    if (this.mayTakeFocus()) card?.takeFocus();
    this.root.dataset.focused = card ? card.item.id : "";
  }

  // Whether the browser's focus is on a card or nowhere; what else has it (a field, a button above the
  // cards that is pressed again and again) keeps it until a key is meant for a card.
  mayTakeFocus() {
    const inside = this.root.getRootNode().activeElement;
    if (inside) return this.grid.contains(inside);
    return document.activeElement === document.body || !document.activeElement;
  }

  moveFocus(step) {
    const place = this.cards.indexOf(this.focused) + step;
    if (place >= 0 && place < this.cards.length) this.focusOn(this.cards[place]);
  }

  columns() {
    const top = this.cards[0]?.root.offsetTop;
    const next = this.cards.findIndex((card) => card.root.offsetTop > top);
    return next < 0 ? this.cards.length : next;
  }

  mark() {
    this.head.show(this.counts, this.left);
    this.root.dataset.cards = this.cards.length;
    this.root.dataset.queue = this.queue;
    this.root.dataset.ready = Boolean(this.feed?.ready);
    this.outbox.describe(this.head.saving);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.peek.show(null);
    this.feed = null;
    this.others.clear();
    this.outlook.clear();
    this.stopListening();
    this.zoom.close();
    this.root.remove();
  }
}

export default mounted(ReviewPage);
