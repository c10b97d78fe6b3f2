// @ts-check
// One card of the Review page: the picture, what the model said, and why it is here.

/** @import { CardItem, ImageItem, PredictionChange } from "../shared/payloads" */

import { button, element, focusedBeside, pictureOf } from "../shared/dom.js";
import { nameOf, passes, percent, scoreText } from "../shared/format.js";
import { NearDuplicates } from "./near_duplicates.js";

/**
 * What the person can do by mouse.
 * @typedef {{
 *   focus(card: Card): void,
 *   score(card: Card, score: number): void,
 *   confirm(card: Card): void,
 *   keep(card: Card): void,
 *   skip(card: Card): void,
 *   zoom(card: Card): void,
 *   preview(card: Card, image: ImageItem | null): void,
 * }} CardActions
 */

/** @param {[number | null, number | null]} bounds */
const boundsWords = ([atLeast, below]) =>
  below === null ? "passes" : atLeast === null ? "fails" : `is ${atLeast} to under ${below}`;
const NOTICEABLE = 0.015; // the least change of a prediction that is shown

export class Card {
  root = element("article", "card");
  prediction = element("b", "prediction");

  /**
   * @param {CardItem} item
   * @param {CardActions} actions
   */
  constructor(item, actions) {
    this.item = item;
    this.actions = actions;
    this.root.dataset.image = String(item.id);
    this.root.tabIndex = -1;
    this.root.setAttribute("aria-label", nameOf(item));
    this.nearDuplicates = new NearDuplicates(item.together, (image) => actions.preview(this, image));
    // Before the small ones of its neighbours.
    this.picture = pictureOf(item, "thumbnail", { decoding: "async", fetchPriority: "high" });
    this.root.append(this.frame(), this.body());
    // However the focus comes here (Tab, a click, a screen reader): the keys mean this card then. In
    // the capturing phase: before a button of the card does what it is for.
    for (const way of ["focusin", "mousedown", "click"]) this.root.addEventListener(way, () => actions.focus(this), true);
  }

  get isHandScore() {
    return this.item.queue === "hand-score";
  }

  frame() {
    const frame = element("div", "frame");
    this.picture.addEventListener("click", () => this.actions.zoom(this));
    this.picture.addEventListener("pointerenter", () => this.actions.preview(this, this.item));
    this.picture.addEventListener("pointerleave", () => this.actions.preview(this, null));
    this.prediction.textContent = percent(this.item.prediction);
    frame.append(this.picture, this.prediction);
    if (this.item.score !== null) frame.append(element("b", "hand", `you: ${scoreText(this.item.score)}`));
    return frame;
  }

  // Settles when the picture can be painted at once, or can't be had.
  decoded() {
    return this.picture.decode().catch(() => {});
  }

  /**
   * Says what the corrections typed since would make of the prediction; nothing if hardly anything.
   * @param {PredictionChange} [change]
   */
  showPrediction(change) {
    const { prediction, item } = this;
    const isNoticeable = change !== undefined && Math.abs(change.after - change.before) >= NOTICEABLE;
    prediction.classList.toggle("moved", isNoticeable);
    prediction.title = isNoticeable ? "What the scores given since would make of it; training decides" : "";
    prediction.textContent = percent(item.prediction);
    if (!isNoticeable) return;
    prediction.textContent = `${percent(change.before)} → ${percent(change.after)}`;
    const passed = passes(change.after, item.threshold);
    if (passed !== passes(change.before, item.threshold)) prediction.append(element("span", "crosses", passed ? "now passes" : "now fails"));
  }

  body() {
    const body = element("div", "body");
    const name = element("div", "name", nameOf(this.item));
    name.title = `${this.item.name} · ${this.item.source}`;
    body.append(name, this.nearDuplicates.root, this.reasons(), this.neighbours(), this.scores(), this.choices());
    return body;
  }

  reasons() {
    const list = element("ul", "reasons");
    for (const { words, more, strong } of this.item.reasons) {
      const line = element("li", strong ? "strong" : "", words);
      line.title = more ?? words;
      list.append(line);
    }
    return list;
  }

  // The nearest images that have a hand score: small pictures with that score and the similarity.
  neighbours() {
    const row = element("div", "near");
    for (const image of this.item.near) {
      const figure = element("figure");
      const [score, similarity] = [image.confirmed ?? scoreText(image.score), image.similarity.toFixed(2)];
      figure.title = `${image.name}: ${image.confirmed ? "confirmed:" : "scored"} ${score}, similarity ${similarity}`;
      const picture = pictureOf(image, "thumbnail", { loading: "lazy", fetchPriority: "low" });
      figure.append(picture, element("b", "", score), element("figcaption", "", similarity));
      row.append(figure);
    }
    return row;
  }

  scores() {
    const row = element("div", "scores");
    for (let score = 0; score <= 10; score++) {
      const cell = button("", String(score), () => this.actions.score(this, score));
      cell.title = `Score ${score}${score === 10 ? " (key t)" : ""}`;
      cell.classList.toggle("passes", passes(score / 10, this.item.threshold));
      cell.classList.toggle("model", score === this.item.confirm);
      row.append(cell);
    }
    return row;
  }

  choices() {
    const { actions, item } = this;
    const row = element("div", "choices");
    const confirm = this.choice("⏎", this.isHandScore ? `take ${item.confirm}` : `model is right: ${item.confirm}`, actions.confirm);
    confirm.classList.add("confirm");
    confirm.title = this.isHandScore
      ? `The model is right: make it ${item.confirm}`
      : `The model is right: ${item.confirm} is shown as the hand score, and says no more than that it ${boundsWords(item.confirm_bounds)}`;
    row.append(confirm);
    if (this.isHandScore && item.score !== null) row.append(this.choice("k", `keep ${scoreText(item.score)}`, actions.keep));
    const skip = this.choice("s", this.isHandScore ? "" : "skip", actions.skip);
    skip.title = "Skip (key s)";
    row.append(skip);
    return row;
  }

  /**
   * @param {string} key
   * @param {string} text
   * @param {(card: Card) => void} act
   */
  choice(key, text, act) {
    const made = button("plain", "", () => act(this));
    made.append(element("kbd", "", key), text);
    return made;
  }

  /**
   * Marks it as the one that the keys mean; Tab comes to it and its buttons, past no other card itself.
   * @param {boolean} isFocused
   */
  markFocused(isFocused) {
    this.root.classList.toggle("focused", isFocused);
    this.root.tabIndex = isFocused ? 0 : -1;
    if (isFocused) this.root.scrollIntoView({ block: "nearest" });
  }

  // Gives it the browser's focus; one of its buttons that has it keeps it.
  takeFocus() {
    if (!this.root.contains(focusedBeside(this.root))) this.root.focus({ preventScroll: true });
  }

  // What is looked at: the near-duplicate whose tile has the focus, else the card's own image.
  lookedAt() {
    return this.nearDuplicates.focused() ?? this.item;
  }

  // The images on it, near-duplicates included.
  imageIds() {
    return [this.item.id, ...this.item.together.map((image) => image.id)];
  }

  /**
   * Leaves with a mark of what was taken; settles when it can't be seen any more.
   * @param {string} mark
   */
  leave(mark) {
    this.root.classList.add("leaving");
    this.root.inert = true; // neither Tab nor a click comes back to it
    this.root.append(element("div", "mark", mark));
    const away = [{ opacity: 1, scale: 1 }, { opacity: 1, scale: 1, offset: 0.45 }, { opacity: 0, scale: 0.94 }];
    return this.root.animate(away, { duration: 230, easing: "ease-in" }).finished.catch(() => {});
  }
}
