// One card of the Review page: the picture, what the model said, and why it is here.

class Card {
  constructor(item, data, acts) {
    this.item = item;
    this.root = element("article", "card");
    this.root.dataset.image = item.id;
    this.root.tabIndex = -1;
    this.root.setAttribute("aria-label", nameOf(item));
    this.threshold = data.threshold;
    this.twins = new Twins(item.together, this, acts);
    this.root.append(this.frame(acts), this.body(data, acts));
    // However the focus comes here (Tab, a click, a screen reader): the keys mean this card then. In
    // the capturing phase: before a button of the card does what it is for.
    for (const way of ["focusin", "mousedown", "click"]) this.root.addEventListener(way, () => acts.focus(this), true);
  }

  frame(acts) {
    const frame = element("div", "frame");
    const picture = (this.picture = new Image());
    picture.alt = "";
    picture.decoding = "async";
    orWords(picture, this.item);
    picture.fetchPriority = "high"; // before the small ones of its neighbours
    picture.src = imageUrl(this.item, "thumbnail");
    picture.addEventListener("click", () => acts.zoom(this));
    picture.addEventListener("pointerenter", () => acts.peek(this));
    picture.addEventListener("pointerleave", () => acts.peek(null));
    this.prediction = element("b", "prediction", percent(this.item.prediction));
    frame.append(picture, this.prediction);
    if (this.item.score !== null) frame.append(element("b", "hand", `you: ${shownScore(this.item.score)}`));
    return frame;
  }

  // Settles when the picture can be painted at once, or can't be had.
  decoded() {
    return this.picture.decode().catch(() => {});
  }

  // Says what the corrections typed since would make of the prediction; nothing if hardly anything.
  moves(move) {
    const there = move && Math.abs(move.after - move.before) >= NOTICEABLE;
    const passes = (prediction) => prediction >= this.threshold;
    const crosses = there && passes(move.before) !== passes(move.after);
    this.prediction.textContent = there ? `${percent(move.before)} → ${percent(move.after)}` : percent(this.item.prediction);
    if (crosses) this.prediction.append(element("span", "crosses", passes(move.after) ? "now passes" : "now fails"));
    this.prediction.classList.toggle("moved", Boolean(there));
    this.prediction.title = there ? "What the scores given since would make of it; training decides" : "";
  }

  body(data, acts) {
    const body = element("div", "body");
    const name = element("div", "name", nameOf(this.item));
    name.title = `${this.item.name} · ${this.item.source}`;
    body.append(name, this.twins.root, this.reasons(), this.near(), this.scores(data, acts), this.choices(acts));
    return body;
  }

  reasons() {
    const list = element("ul", "reasons");
    for (const reason of this.item.reasons) {
      const line = element("li", reason.strong ? "strong" : "", reason.words);
      line.title = reason.more ?? reason.words;
      list.append(line);
    }
    return list;
  }

  // The nearest images that have a hand score: small pictures with that score and the similarity.
  near() {
    const row = element("div", "near");
    for (const other of this.item.near) {
      const one = element("figure");
      const picture = new Image();
      picture.alt = "";
      picture.loading = "lazy";
      picture.fetchPriority = "low";
      orWords(picture, other);
      picture.src = imageUrl(other, "thumbnail");
      one.title = `${other.name}: scored ${shownScore(other.score)}, similarity ${other.similarity.toFixed(2)}`;
      one.append(picture, element("b", "", shownScore(other.score)), element("figcaption", "", other.similarity.toFixed(2)));
      row.append(one);
    }
    return row;
  }

  scores(data, acts) {
    const row = element("div", "scores");
    for (let score = 0; score <= 10; score++) {
      const cell = button("", String(score), () => acts.score(this, score));
      cell.title = `Score ${score}${score === 10 ? " (key t)" : ""}`;
      cell.classList.toggle("passes", score / 10 >= data.threshold);
      cell.classList.toggle("model", score === this.item.confirm);
      row.append(cell);
    }
    return row;
  }

  choices(acts) {
    const row = element("div", "choices");
    const byHand = this.item.queue === "hand-score";
    const confirm = button("plain confirm", "", () => acts.confirm(this));
    confirm.append(element("kbd", "", "⏎"), byHand ? `take ${this.item.confirm}` : `model is right: ${this.item.confirm}`);
    confirm.title = byHand
      ? `The model is right: make it ${this.item.confirm}`
      : `The model is right: keep ${this.item.confirm} as the hand score`;
    row.append(confirm);
    if (byHand) {
      const keep = button("plain", "", () => acts.keep(this));
      keep.append(element("kbd", "", "k"), `keep ${shownScore(this.item.score)}`);
      row.append(keep);
    }
    const skip = button("plain", "", () => acts.skip(this));
    skip.title = "Skip (key s)";
    skip.append(element("kbd", "", "s"), byHand ? "" : "skip");
    row.append(skip);
    return row;
  }

  // Marks it as the one that the keys mean; Tab comes to it and its buttons, past no other card itself.
  focus(on) {
    this.root.classList.toggle("focused", on);
    this.root.tabIndex = on ? 0 : -1;
    if (on) this.root.scrollIntoView({ block: "nearest" });
  }

  // Gives it the browser's focus; one of its buttons that has it keeps it.
  takeFocus() {
    if (!this.root.contains(this.root.getRootNode().activeElement)) this.root.focus({ preventScroll: true });
  }

  // What is looked at: the near-duplicate whose tile has the focus, else the card's own image.
  lookedAt() {
    return this.twins.focused() ?? this.item;
  }

  // Leaves with a mark of what was taken.
  leave(mark) {
    this.root.classList.add("leaving");
    this.root.inert = true; // neither Tab nor a click comes back to it
    this.root.append(element("div", "mark", mark));
    const away = [{ opacity: 1, scale: 1 }, { opacity: 1, scale: 1, offset: 0.45 }, { opacity: 0, scale: 0.94 }];
    return this.root.animate(away, { duration: 230, easing: "ease-in" }).finished.catch(() => {});
  }
}
