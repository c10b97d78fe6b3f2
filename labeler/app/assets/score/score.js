// The Score page: one picture, one key, the next picture. The score belongs to the picture that is
// on the screen at that moment; a key pressed before a picture is there is not taken.

class ScorePage {
  constructor(parent, data) {
    this.undoable = []; // {event, item, before}: oldest first
    this.deck = new Deck(() => this.render());
    this.view = new ScoreView(parent, data, {
      score: (score) => this.score(score),
      skip: () => this.skip(),
      undo: () => this.undo(),
      move: (step) => this.move(step),
      zoom: () => this.zoomIn(),
      guess: () => this.toggleGuess(),
      order: (order) => this.begin(order),
      scorer: (name) => this.scoreAs(name),
    });
    this.zoom = new Zoom(this.view.root);
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.open(data);
  }

  update(data) {
    if (data.project !== this.data.project || data.checks !== this.data.checks) this.open(data);
  }

  open(data) {
    this.data = data;
    this.showsGuess = false;
    releaseFocus(); // else digits would be typed into the control that was just used
    this.stopListening?.();
    this.outbox = Outbox.of(data.project);
    this.stopListening = this.outbox.listen((what, body) => this.heard(what, body));
    const kept = remembered(`labeler:order:${data.project}`);
    const known = [...this.view.order.querySelectorAll("option")].some((choice) => choice.value === kept);
    this.view.order.value = known ? kept : data.orders[0][0];
    this.begin(this.view.order.value);
  }

  // Starts an order: what an earlier page left unsent goes first, then the sitting so far is asked
  // for, so that undo and going back work across a reload.
  async begin(order) {
    remember(`labeler:order:${this.data.project}`, order);
    const beginning = (this.beginning = {});
    this.deck.clear(); // from here on no key is a score until the first picture is there
    this.render();
    this.outbox.adopt();
    await Promise.race([this.outbox.flush(), pause(2500)]);
    const sitting = await this.sitting(beginning);
    if (!sitting || beginning !== this.beginning) return;
    this.stats = sitting.stats;
    this.undoable = sitting.undoable;
    const past = SCORED_ORDERS.includes(order) ? [] : [...new Set(this.undoable.map((done) => done.item).reverse())].reverse();
    this.deck.start({ order, scorer: scorer() }, past, () => this.outbox.imageIds());
    this.render();
  }

  async sitting(beginning) {
    for (let tries = 0; beginning === this.beginning; tries++) {
      try {
        return sittingOf(await getJson("api/recent", { queue: "score", scorer: scorer() }));
      } catch (error) {
        this.deck.explanation = error.status ? error.message : "The server doesn't answer; trying again …";
        this.render();
        await pause(RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
      }
    }
    return null;
  }

  key(event) {
    if (!this.view.root.isConnected || this.zoom.key(event) || !isForPage(event)) return;
    const act = this.actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  actOf(event) {
    if (isUndoShortcut(event)) return () => this.undo();
    const score = scoreOfKey(event);
    if (score !== null) return () => this.score(score);
    if (event.key === "Backspace") return () => this.undo();
    if (event.key === "ArrowLeft" && !movesControl(event)) return () => this.move(-1);
    if (event.key === "ArrowRight" && !movesControl(event)) return () => this.move(1);
    if (event.key === " " && !pressesControl(event)) return () => this.skip();
    const acts = { s: () => this.skip(), u: () => this.undo(), z: () => this.zoomIn(), p: () => this.toggleGuess() };
    return acts[letterOf(event)] ?? null;
  }

  score(score) {
    const item = this.deck.current;
    if (item?.state !== "ready") {
      this.view.showFlash(item?.state === "broken" ? "no picture to score: s skips it" : "not loaded yet");
      return;
    }
    const known = this.isBlind() ? {} : { known: item.score };
    const event = this.outbox.add({ kind: "score", image: item.id, score, ...known, ...this.shown(item) });
    this.undoable.push({ event: event.event, item, before: item.score });
    this.count(item.score, score);
    item.score = score;
    this.view.showFlash(String(score), score);
    this.advance();
  }

  skip() {
    const item = this.deck.current;
    if (!item) return;
    const event = this.outbox.add({ kind: "skip", image: item.id, queue: "score", ...this.shown(item) });
    this.undoable.push({ event: event.event, item, before: item.score });
    this.view.showFlash("skipped");
    this.advance();
  }

  // What was on the screen; the prediction only if it could be seen.
  shown(item) {
    const seen = this.showsGuess && item.prediction != null;
    return { hash: item.hash, ...(seen ? { prediction: item.prediction, version: item.version } : {}), ...(item.draw ? { draw: true } : {}) };
  }

  undo() {
    const last = this.undoable.pop();
    if (!last) return this.view.showFlash("nothing to undo");
    this.outbox.add({ kind: "undo", image: last.item.id, undoes: last.event, known: last.before });
    if (last.item.score !== last.before) this.count(last.item.score, last.before);
    last.item.score = last.before;
    this.deck.goTo(last.item);
    this.view.showFlash("undone");
    this.render();
    return null;
  }

  move(step) {
    if (this.deck.move(step)) this.render();
  }

  // On to the next picture; those that are known to be gone are passed over, and those that another
  // window has scored meanwhile.
  advance() {
    this.deck.move(1);
    let gone = 0;
    const done = (item) => item.elsewhere && !SCORED_ORDERS.includes(this.view.order.value);
    for (let item = this.deck.current; item && (item.missing || done(item)) && this.deck.move(1); item = this.deck.current) {
      if (item.missing) gone += 1;
    }
    if (gone) this.view.showFlash(gone === 1 ? "passed over a missing picture" : `passed over ${gone} missing pictures`);
    this.render();
  }

  // Whether the scores of others, and so one's own before, stay hidden.
  isBlind() {
    return this.view.order.value === "others";
  }

  // Another window did something with an image that may be shown here.
  elsewhere(event) {
    const item = this.deck.find(event.image);
    if (!item || event.kind === "skip" || this.isBlind()) return;
    const score = event.kind === "undo" ? (event.known ?? null) : event.score;
    item.elsewhere = score !== null;
    item.score = score;
    if (item === this.deck.current && score !== null) this.view.news.say(`${item.name} is scored ${score} by now, in another window.`);
    this.render();
  }

  // The server took it: whether that replaced what this page didn't know of, and what undo leaves.
  taken({ event, before, after }) {
    if (event.known === undefined) return;
    const item = this.deck.find(event.image);
    if (event.kind === "undo" && item && !this.isBlind() && !this.outbox.waitsFor(event.image) && item.score !== after) {
      item.score = after;
      this.render();
    }
    if (event.kind !== "score" || before === event.known) return;
    const done = this.undoable.find((one) => one.event === event.event);
    if (done) done.before = before;
    if (before !== event.score) this.view.news.say(replacedWords(item ?? done?.item ?? { name: "A picture" }, before, event.score));
  }

  zoomIn() {
    if (this.deck.current) this.zoom.show(this.deck.current);
  }

  // Scores given so far stay with whoever gave them.
  scoreAs(name) {
    setScorer(name);
    if (this.view.order.value === "others") this.begin("others");
  }

  toggleGuess() {
    this.showsGuess = !this.showsGuess;
    this.render();
  }

  // Keeps the figures right while the server's answer is under way.
  count(before, after) {
    const stats = this.stats;
    if (!stats) return;
    if (before !== null) stats.distribution[Math.round(before)] -= 1;
    if (after !== null) stats.distribution[Math.round(after)] += 1;
    const more = (after !== null) - (before !== null);
    stats.scored += more;
    stats.unscored -= more;
    stats.today = Math.max(0, stats.today + (after === null ? -1 : before === null ? 1 : 0));
  }

  heard(what, body) {
    if (what === "elsewhere") return this.elsewhere(body);
    if (what === "taken") return this.taken(body);
    const stats = body;
    if (this.outbox.problem) this.wasAway = true;
    else if (what === "saved" && this.wasAway) {
      this.wasAway = false;
      this.deck.retryFailed();
    }
    if (what === "saved" && stats && !this.outbox.pending.length) {
      this.stats = stats;
      this.view.showStats(stats);
    }
    this.outbox.describe(this.view.saving);
    return null;
  }

  render() {
    const item = this.deck.current;
    if (item !== this.shownItem) this.deck.retry(item);
    this.shownItem = item;
    this.view.keepNear(this.deck.items.slice(Math.max(0, this.deck.at - 1), this.deck.at + 4));
    this.view.showItem(item, this.instead(item), this.showsGuess);
    this.view.root.dataset.ready = this.deck.ready;
    this.view.root.dataset.missing = this.deck.items.filter((one) => one.missing).length;
    this.view.root.dataset.ahead = this.deck.items.length - this.deck.at;
    this.outbox.describe(this.view.saving);
    cancelAnimationFrame(this.later);
    // Not before the picture: the figures beside it can wait for the frame after.
    this.later = requestAnimationFrame(() => setTimeout(() => this.renderSide()));
  }

  renderSide() {
    this.view.showStats(this.stats);
    const recent = this.undoable.slice(-6).reverse().map((done) => done.item);
    this.view.showRecent([...new Set(recent)], (item) => {
      this.deck.goTo(item);
      this.render();
    });
  }

  // What stands where the picture would be.
  instead(item) {
    if (item?.missing) return words("This picture is missing and can't be shown.", `${item.name}: ${item.missing} Its scores are kept. Press s to skip it.`);
    if (item?.state === "broken") return words("This picture can't be shown.", `${item.name} can't be had just now and is tried again. ${item.away} Press s to skip it.`);
    if (item) return words("loading …");
    if (!this.deck.done) return words(this.deck.explanation ?? "loading …");
    if (this.deck.explanation) return words(this.deck.explanation);
    return this.allDone();
  }

  allDone() {
    const unscored = this.deck.items.filter((item) => item.score === null);
    const passed = unscored.filter((item) => !item.missing);
    const gone = unscored.length - passed.length;
    const made = words("Every image here has been seen.", "Choose another order above, or look at your scores again.");
    if (gone) made.push(element("span", "", `${gone === 1 ? "One file is" : `${gone} files are`} missing: import the folder that ${gone === 1 ? "it lies" : "they lie"} in now.`));
    if (passed.length) {
      const again = button("plain", `Back to ${passed.length} left without a score`, () => {
        this.deck.goTo(passed[0]);
        this.render();
      });
      made.push(again);
    }
    return made;
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.beginning = null;
    this.stopListening();
    this.zoom.close();
    this.deck.close();
    this.view.close();
  }
}

// What the server knows of the sitting, as this page keeps it: one item per image.
function sittingOf(body) {
  const items = new Map(body.items.map((item) => [item.id, item]));
  const undoable = body.events
    .filter((done) => items.has(done.image))
    .map((done) => {
      const item = items.get(done.image);
      return { event: done.event, item, before: done.skip ? item.score : done.before };
    });
  return { stats: body.stats, undoable };
}

function words(title, more = null) {
  const made = [element("strong", "", title)];
  if (more) made.push(element("span", "", more));
  return made;
}

function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The choice of order is then forgotten at a reload; scores say so themselves.
  }
}

export default mounted(ScorePage);
