// The near-duplicates on a card: small pictures that are scored with it unless they are unticked.

class Twins {
  constructor(items, card, acts) {
    this.items = items;
    this.leftOut = new Set();
    this.root = element("div", "twins");
    if (!items.length) return;
    this.words = element("div", "twins-words");
    this.strip = element("div", "strip");
    this.strip.append(...items.map((item) => this.tile(item, card, acts)));
    this.root.append(this.words, this.strip);
    this.mark();
  }

  tile(item, card, acts) {
    const tile = button("twin", "", () => this.toggle(item));
    tile.dataset.image = item.id;
    tile.setAttribute("role", "checkbox");
    const picture = new Image();
    picture.alt = "";
    orWords(picture, item);
    picture.src = imageUrl(item, "thumbnail");
    tile.append(picture, element("span", "tick", "✓"));
    if (item.score !== null) tile.append(element("b", "", shownScore(item.score)));
    tile.addEventListener("pointerenter", () => acts.peek({ root: card.root, item }));
    tile.addEventListener("pointerleave", () => acts.peek(null));
    return tile;
  }

  toggle(item) {
    if (!this.leftOut.delete(item.id)) this.leftOut.add(item.id);
    this.mark();
  }

  leaveOut(ids) {
    this.leftOut = new Set(ids);
    this.mark();
  }

  // Has a score of its own by now: it gets no other one unless it is ticked again.
  scoredElsewhere(image, score) {
    const item = this.items.find((one) => one.id === image);
    if (!item) return;
    item.score = score;
    this.leaveOut([...this.leftOut, image]);
  }

  // All in or all out.
  toggleAll() {
    this.leaveOut(this.leftOut.size ? [] : this.items.map((item) => item.id));
  }

  // The one whose tile has the browser's focus.
  focused() {
    const tile = this.root.getRootNode().activeElement?.closest(".twin");
    return this.items.find((item) => item.id === Number(tile?.dataset.image)) ?? null;
  }

  // Those that get what the card gets.
  chosen() {
    return this.items.filter((item) => !this.leftOut.has(item.id));
  }

  mark() {
    if (!this.items.length) return;
    const count = this.chosen().length;
    const all = `${this.items.length} near-duplicate${this.items.length > 1 ? "s" : ""}`;
    this.words.textContent = count === this.items.length ? `${all}, scored together` : `${all}, ${count || "none"} scored together`;
    for (const tile of this.strip.children) {
      const out = this.leftOut.has(Number(tile.dataset.image));
      tile.classList.toggle("out", out);
      tile.setAttribute("aria-checked", String(!out));
      tile.title = out ? "Left out: click to score it with the others" : "Gets the same score: click to leave it out (n: all)";
    }
  }
}
