// @ts-check
// Above the cards: the queues, how the round goes, and what the keys mean.

/** @import { ReviewQueue, RoundCounts } from "../shared/payloads" */

import { News, button, element, statusLine } from "../shared/dom.js";
import { rounded } from "../shared/format.js";

/** Both kinds of likely mistakes, whatever finds most. */
export const MISTAKES = "mistake";
/** @type {[queue: ReviewQueue, label: string, explanation: string][]} */
const TABS = [
  [MISTAKES, "Likely mistakes", "on either side of the threshold, dealt by whatever finds most of them here"],
  ["false-positive", "Likely false positives", "predicted to pass, or too high for its source: probably should not"],
  ["false-negative", "Likely false negatives", "predicted to fail, or too low for its source: probably should pass"],
  ["hand-score", "Hand scores that look wrong", "your score against a near-duplicate's, or a prediction made without it"],
];
export const QUEUES = TABS.map(([queue]) => queue);

export class ReviewHeader {
  saving = statusLine("saving");
  news = new News();
  tabs = element("div", "tabs");
  row = element("div", "head");
  round = element("div", "round");
  hints = element("div", "hints");
  /** @type {Map<ReviewQueue, { tab: HTMLElement, waiting: HTMLElement }>} */
  tabOf = new Map();

  /**
   * @param {(queue: ReviewQueue) => void} choose
   * @param {() => void} undo
   */
  constructor(choose, undo) {
    this.tabs.setAttribute("role", "tablist");
    for (const [queue, label, explanation] of TABS) {
      const tab = button("tab", label, () => choose(queue));
      tab.setAttribute("role", "tab");
      tab.title = explanation;
      tab.dataset.queue = queue;
      const waiting = element("span", "waiting");
      tab.append(waiting);
      this.tabOf.set(queue, { tab, waiting });
      this.tabs.append(tab);
    }
    this.tabs.append(this.news.root, this.saving);
    const undoButton = button("plain hint", "", undo); // stays as it is: it may have the focus
    undoButton.append(element("kbd", "", "u"), "undo");
    this.hints.append(undoButton);
    this.row.append(this.round, this.hints);
  }

  /** @param {ReviewQueue} chosen */
  choose(chosen) {
    for (const [queue, { tab }] of this.tabOf) tab.setAttribute("aria-selected", String(queue === chosen));
    const isHandScores = chosen === "hand-score";
    const hints = [["← ↑ ↓ →", "move"], ["0–9 t", "score it"], ["⏎", isHandScores ? "take the model's" : "the model is right"]];
    if (isHandScores) hints.push(["k", "keep mine"]);
    hints.push(["s", "skip"], ["z", "full size"]);
    for (const old of this.hints.querySelectorAll("span.hint")) old.remove();
    this.hints.prepend(...hints.map(([key, text]) => hint(key, text)));
  }

  /**
   * The round's counts, and how many images are left in the open queue.
   * @param {RoundCounts} counts
   * @param {ReviewQueue} queue
   * @param {number | null} left null where it isn't known yet
   */
  show({ corrected, confirmed, skipped }, queue, left) {
    const reviewed = corrected + confirmed;
    const rate = reviewed ? ` · ${rounded(corrected / reviewed)} were mistakes` : "";
    this.round.textContent = `This round: ${reviewed} reviewed, ${corrected} corrected${skipped ? `, ${skipped} skipped` : ""}${rate}`;
    const tab = this.tabOf.get(queue);
    if (tab) tab.waiting.textContent = left === null ? "" : String(left);
  }
}

/**
 * @param {string} key
 * @param {string} text
 */
function hint(key, text) {
  const made = element("span", "hint");
  made.append(element("kbd", "", key), text);
  return made;
}
