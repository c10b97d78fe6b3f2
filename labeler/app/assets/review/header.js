// Above the cards: the queues, how the round goes, and what the keys mean.

const MISTAKES = "mistake"; // both kinds of likely mistakes, whatever finds most
const REVIEW_QUEUES = [
  [MISTAKES, "Likely mistakes", "on either side of the threshold, dealt by whatever finds most of them here"],
  ["false-positive", "Likely false positives", "predicted to pass, or too high for its source: probably should not"],
  ["false-negative", "Likely false negatives", "predicted to fail, or too low for its source: probably should pass"],
  ["hand-score", "Hand scores that look wrong", "your score against a near-duplicate's, or a prediction made without it"],
];

class ReviewHead {
  constructor(choose, undo) {
    this.undo = undo;
    this.tabOf = new Map();
    this.tabs = element("div", "tabs");
    this.tabs.setAttribute("role", "tablist");
    for (const [queue, words, more] of REVIEW_QUEUES) this.tabs.append(this.tab(queue, words, more, choose));
    this.saving = element("div", "saving");
    this.saving.setAttribute("role", "status");
    this.news = new News();
    this.tabs.append(this.news.root, this.saving);
    this.row = element("div", "head");
    this.row.append((this.round = element("div", "round")), (this.hints = element("div", "hints")));
    this.hints.append(this.undoButton()); // stays as it is: it may have the focus
  }

  tab(queue, words, more, choose) {
    const tab = button("tab", words, () => choose(queue));
    tab.setAttribute("role", "tab");
    tab.title = more;
    tab.dataset.queue = queue;
    tab.append(element("span", "waiting"));
    this.tabOf.set(queue, tab);
    return tab;
  }

  choose(queue) {
    this.queue = queue;
    for (const [name, tab] of this.tabOf) tab.setAttribute("aria-selected", String(name === queue));
    const byHand = queue === "hand-score";
    const hints = [["← ↑ ↓ →", "move"], ["0–9 t", "score it"], ["⏎", byHand ? "take the model's" : "the model is right"]];
    if (byHand) hints.push(["k", "keep mine"]);
    hints.push(["s", "skip"], ["z", "full size"]);
    for (const old of this.hints.querySelectorAll("span.hint")) old.remove();
    this.hints.prepend(...hints.map(([key, words]) => hint(key, words)));
  }

  undoButton() {
    const undo = button("plain hint", "", () => this.undo());
    undo.append(element("kbd", "", "u"), "undo");
    return undo;
  }

  // The round's counts, and how many images are left in the open queue.
  show(counts, left) {
    const { corrected = 0, confirmed = 0, skipped = 0 } = counts ?? {};
    const handled = corrected + confirmed;
    const rate = handled ? ` · ${share(corrected / handled)} were mistakes` : "";
    this.round.textContent = `This round: ${handled} reviewed, ${corrected} corrected${skipped ? `, ${skipped} skipped` : ""}${rate}`;
    this.tabOf.get(this.queue).lastChild.textContent = left === undefined ? "" : String(left);
  }
}

function hint(key, words) {
  const hint = element("span", "hint");
  hint.append(element("kbd", "", key), words);
  return hint;
}
