// The Review page: cards of likely mistakes, handled by one key each. What the keys do belongs to
// the focused card, which always is one that can be seen.

const QUEUES = [
  ["false-positive", "Likely false positives", "predicted to pass, probably should not"],
  ["false-negative", "Likely false negatives", "predicted to fail, probably should pass"],
  ["hand-score", "Hand scores that look wrong", "your score against a prediction made without it"],
];
const PAGE = 24;
const LOW = 14; // ask for more when fewer cards than this are left

class ReviewPage {
  constructor(parent, data) {
    this.cards = [];
    this.undoable = [];
    this.root = element("div", "labeler review");
    this.root.append(this.tabs(), this.headRow(), (this.grid = element("div", "cards")), (this.words = element("div", "words")));
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
    this.open(data, QUEUES[0][0]);
  }

  update(data) {
    const same = ["project", "threshold", "version"].every((name) => data[name] === this.data[name]);
    if (!same) this.open(data, this.queue);
  }

  open(data, queue) {
    this.data = data;
    this.stopListening?.();
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.outbox.listen(() => this.outbox.describe(this.saving));
    this.choose(queue);
  }

  tabs() {
    const row = element("div", "tabs");
    row.setAttribute("role", "tablist");
    this.tabOf = new Map();
    for (const [queue, words, more] of QUEUES) {
      const tab = button("tab", words, () => this.choose(queue));
      tab.setAttribute("role", "tab");
      tab.title = more;
      tab.dataset.queue = queue;
      tab.append(element("span", "waiting"));
      this.tabOf.set(queue, tab);
      row.append(tab);
    }
    this.saving = element("div", "saving");
    this.saving.setAttribute("role", "status");
    row.append(this.saving);
    return row;
  }

  headRow() {
    const row = element("div", "head");
    this.round = element("div", "round");
    this.hintRow = element("div", "hints");
    row.append(this.round, this.hintRow);
    return row;
  }

  showHints() {
    const byHand = this.queue === "hand-score";
    const hints = [["← ↑ ↓ →", "move"], ["0–9 t", "score it"], ["⏎", byHand ? "take the model's" : "the model is right"]];
    if (byHand) hints.push(["k", "keep mine"]);
    hints.push(["s", "skip"], ["z", "full size"]);
    this.hintRow.replaceChildren(
      ...hints.map(([key, words]) => {
        const hint = element("span", "hint");
        hint.append(element("kbd", "", key), words);
        return hint;
      }),
    );
    const undo = button("plain hint", "", () => this.undo());
    undo.append(element("kbd", "", "u"), "undo");
    this.hintRow.append(undo);
  }

  // Opens a queue anew; `first` is an image that should stand at its head.
  async choose(queue, first = null) {
    this.queue = queue;
    this.opening = {};
    const opening = this.opening;
    for (const [name, tab] of this.tabOf) tab.setAttribute("aria-selected", String(name === queue));
    this.showHints();
    this.clear("loading …");
    this.outbox.adopt();
    await Promise.race([this.outbox.flush(), pause(2500)]);
    for (let tries = 0; opening === this.opening; tries++) {
      try {
        const recent = await getJson("/api/recent", { queue });
        const page = await this.fetchPage(first);
        if (opening !== this.opening) return;
        this.undoable = recent.events.map(({ event, image }) => ({ event, image }));
        this.clear("");
        this.take(page);
        return;
      } catch (error) {
        this.words.textContent = error.status ? error.message : "The server doesn't answer; trying again …";
        await pause(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
      }
    }
  }

  clear(words) {
    this.cards = [];
    this.focused = null;
    this.done = false;
    this.grid.replaceChildren();
    delete this.root.dataset.threshold;
    this.words.textContent = words;
    this.peek.show(null);
    this.mark();
  }

  fetchPage(first = null) {
    const held = [...this.cards.map((card) => card.item.id), ...this.outbox.imageIds()];
    const query = { queue: this.queue, limit: PAGE, exclude: held.join() };
    return getJson("/api/review", first === null ? query : { ...query, first });
  }

  take(page) {
    this.done = page.cards.length === 0;
    this.root.dataset.threshold = this.data.threshold; // which one these cards are for
    this.left = page.waiting;
    this.counts = page.round;
    const here = new Set(this.cards.map((card) => card.item.id));
    for (const item of page.cards.filter((item) => !here.has(item.id))) this.put(new Card(item, page, this.acts));
    if (!this.focused && this.cards.length) this.focusOn(this.cards[0]);
    this.words.textContent = this.cards.length ? "" : page.explanation ?? "Nothing left here: train again to find more.";
    this.mark();
  }

  put(card, place = this.cards.length) {
    this.grid.insertBefore(card.root, this.cards[place]?.root ?? null);
    this.cards.splice(place, 0, card);
  }

  async refill() {
    if (this.asking || this.done || this.cards.length >= LOW) return;
    const opening = this.opening;
    this.asking = this.fetchPage();
    try {
      const page = await this.asking;
      if (opening === this.opening) this.take(page);
    } catch {
      setTimeout(() => this.refill(), RETRY_MS[2]);
    } finally {
      this.asking = null;
    }
  }

  key(event) {
    if (!this.root.isConnected || this.zoom.key(event) || !isForPage(event)) return;
    const act = this.actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  actOf(event) {
    const card = this.focused;
    if (isUndoShortcut(event) || event.key === "Backspace" || letterOf(event) === "u") return () => this.undo();
    if (!card) return null;
    const score = scoreOfKey(event);
    if (score !== null) return () => this.score(card, score);
    const letters = { s: () => this.skip(card), z: () => this.zoom.show(card.item), k: () => this.keep(card) };
    if (letters[letterOf(event)]) return letters[letterOf(event)];
    if (event.key === " " && !pressesControl(event)) return () => this.skip(card);
    if (event.key === "Enter" && !pressesControl(event)) return () => this.confirm(card);
    if (movesControl(event)) return null;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns() }[event.key];
    return step ? () => this.moveFocus(step) : null;
  }

  score(card, score) {
    this.handle(card, { kind: "score", score }, String(score));
    this.tally(card, score);
  }

  confirm(card) {
    // Taking the model's word against one's own score is a correction; otherwise it is agreed with.
    const kind = card.item.queue === "hand-score" ? "score" : "confirm";
    this.handle(card, { kind, score: card.item.confirm }, "✓");
    this.tally(card, card.item.confirm);
  }

  keep(card) {
    if (card.item.queue !== "hand-score") return;
    this.handle(card, { kind: "confirm", score: card.item.score }, "kept");
    this.tally(card, card.item.score);
  }

  skip(card) {
    this.handle(card, { kind: "skip" }, "skipped");
    this.counts.skipped += 1;
    this.mark();
  }

  // Sends what was done with a card and lets it go; only once per card.
  handle(card, what, mark) {
    const place = this.cards.indexOf(card);
    if (place < 0) return;
    const { item } = card;
    const event = this.outbox.add({
      ...what,
      image: item.id,
      queue: item.queue,
      prediction: item.prediction,
      version: item.version,
      threshold: item.threshold,
    });
    this.undoable.push({ event: event.event, image: item.id, card, place, counts: { ...this.counts } });
    this.cards.splice(place, 1);
    this.left = Math.max(0, this.left - 1);
    this.peek.show(null);
    if (this.focused === card) this.focusOn(this.cards[place] ?? this.cards[place - 1] ?? null);
    card.leave(mark).then(() => card.root.classList.contains("leaving") && card.root.remove());
    this.root.dataset.handled = Number(this.root.dataset.handled ?? 0) + 1;
    this.refill();
    if (!this.cards.length && this.done) this.words.textContent = "Nothing left here: train again to find more.";
  }

  tally(card, score) {
    const { item } = card;
    const agrees = item.queue === "hand-score" ? score === item.score : score / 10 >= item.threshold === (item.queue === "false-positive");
    this.counts[agrees ? "confirmed" : "corrected"] += 1;
    this.mark();
  }

  undo() {
    const last = this.undoable.pop();
    if (!last) {
      this.words.textContent = "Nothing to undo.";
      return;
    }
    this.outbox.add({ kind: "undo", image: last.image, undoes: last.event });
    if (!last.card) {
      this.choose(this.queue, last.image);
      return;
    }
    const card = new Card(last.card.item, last.card.item, this.acts);
    last.card.root.remove();
    this.put(card, Math.min(last.place, this.cards.length));
    this.counts = last.counts;
    this.left += 1;
    this.words.textContent = "";
    this.focusOn(card);
    this.mark();
  }

  focusOn(card) {
    if (this.focused === card) return;
    this.focused?.focus(false);
    this.focused = card;
    card?.focus(true);
    this.root.dataset.focused = card ? card.item.id : "";
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
    const { corrected = 0, confirmed = 0, skipped = 0 } = this.counts ?? {};
    const handled = corrected + confirmed;
    const rate = handled ? ` · ${percent(corrected / handled)} were mistakes` : "";
    this.round.textContent = `This round: ${handled} reviewed, ${corrected} corrected${skipped ? `, ${skipped} skipped` : ""}${rate}`;
    const badge = this.tabOf.get(this.queue).lastChild;
    badge.textContent = this.left === undefined ? "" : String(this.left);
    this.root.dataset.cards = this.cards.length;
    this.root.dataset.queue = this.queue;
    this.outbox.describe(this.saving);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.peek.show(null);
    this.opening = null;
    this.stopListening();
    this.zoom.close();
    this.root.remove();
  }
}

export default mounted(ReviewPage);
