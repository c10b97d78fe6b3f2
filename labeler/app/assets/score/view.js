// @ts-check
// What the Score page looks like. It knows no events and no server; score.js tells it what to show.

/** @import { ScorePageData, Stats } from "../shared/payloads" */
/** @import { QueuedImage } from "./queue.js" */

import { News, button, element, option, pictureOf, statusLine } from "../shared/dom.js";
import { nameOf, percent, scoreText } from "../shared/format.js";
import { scorer } from "../shared/storage.js";

/**
 * What the person can do by mouse.
 * @typedef {{
 *   score(score: number): void,
 *   skip(): void,
 *   undo(): void,
 *   move(step: number): void,
 *   zoom(): void,
 *   togglePrediction(): void,
 *   setOrder(order: string): void,
 *   setScorer(name: string): void,
 * }} ScoreActions
 */

const SCORES = Array.from({ length: 11 }, (_, score) => score);
const LOWEST_PAGE = 430; // pixels

export class ScoreView {
  root = element("div", "labeler score");
  name = element("div", "name");
  check = element("div", "check", "random check");
  prediction = element("div", "guess");
  saving = statusLine("saving");
  news = new News();
  stage = element("div", "stage");
  message = element("div", "stage-words");
  flash = element("div", "flash");
  given = element("div", "given");
  count = element("div", "count");
  total = element("div", "quiet");
  progress = element("i");
  pace = element("div", "quiet");
  recent = element("div", "recent");

  /**
   * @param {Node} parent
   * @param {ScorePageData} data
   * @param {ScoreActions} actions
   */
  constructor(parent, data, actions) {
    this.actions = actions;
    this.order = this.orderChoice(data);
    this.bars = SCORES.map((score) => bar(score));
    this.cells = SCORES.map((score) => this.cell(score, data));
    this.root.append(this.topRow(), this.middle(), this.scoreBar(data), this.hints(data));
    parent.appendChild(this.root);
    this.fillHeight = () => this.setHeight();
    addEventListener("resize", this.fillHeight);
    this.setHeight();
  }

  // The page takes the window's height, so that the picture is as large as it can be.
  setHeight() {
    const top = this.root.getBoundingClientRect().top + document.documentElement.scrollTop;
    this.root.style.height = `${Math.max(LOWEST_PAGE, innerHeight - Math.max(0, top) - 14)}px`;
  }

  topRow() {
    const row = element("div", "top");
    this.check.title = "Drawn at random, whatever the model predicts: the figures of a version count these";
    this.check.hidden = true;
    row.append(this.order, this.name, this.check, this.prediction, this.news.root, this.saving);
    return row;
  }

  /** @param {ScorePageData} data */
  orderChoice(data) {
    const select = element("select");
    select.setAttribute("aria-label", "Order of the images");
    select.append(...data.orders.map(([value, label]) => option(value, label)));
    if (data.sources.length > 1) {
      const group = element("optgroup");
      group.label = "One source, at random";
      group.append(...data.sources.map(([id, name]) => option(`source-${id}`, name)));
      select.append(group);
    }
    select.addEventListener("change", () => {
      select.blur(); // the next digit is a score, not a choice
      this.actions.setOrder(select.value);
    });
    return select;
  }

  middle() {
    const middle = element("div", "middle");
    this.stage.append(this.message, this.given, this.flash);
    this.stage.addEventListener("click", (event) => {
      if (event.target instanceof HTMLImageElement) this.actions.zoom();
    });
    middle.append(this.stage, this.side());
    return middle;
  }

  side() {
    const side = element("aside", "side");
    const progress = element("div", "progress");
    progress.append(this.progress);
    const bars = element("div", "bars");
    bars.append(...this.bars.map(({ row }) => row).reverse());
    side.append(this.count, this.total, progress, this.pace, element("h4", "", "Scores so far"), bars, this.recent);
    return side;
  }

  /**
   * Who is scoring: kept by this browser, and sent with every score.
   * @param {ScorePageData} data
   */
  scorerField(data) {
    const label = element("label", "who", "Scoring as");
    const known = element("datalist");
    known.id = "labeler-scorers";
    known.append(...data.scorers.map((name) => option(name, name)));
    const field = element("input");
    field.type = "text";
    field.maxLength = 80;
    field.placeholder = data.scorer;
    field.value = scorer();
    field.title = "Each person's scores are kept apart; the Progress page shows how far they agree";
    field.setAttribute("list", known.id);
    field.addEventListener("change", () => {
      field.value = field.value.trim();
      this.actions.setScorer(field.value);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") field.blur();
    });
    label.append(field, known);
    return label;
  }

  /**
   * @param {number} score
   * @param {ScorePageData} data
   */
  cell(score, { brackets }) {
    const cell = button("cell", String(score), () => this.actions.score(score));
    const meaning = brackets.find(({ low, high }) => score >= low && score <= high)?.meaning ?? "";
    cell.style.setProperty("--score", String(score));
    cell.title = `${score}: ${meaning}${score === 10 ? " (key t, the key right of 0, or + on the pad)" : ""}`;
    cell.setAttribute("aria-label", cell.title);
    cell.append(element("kbd", "", score === 10 ? "t" : String(score)));
    return cell;
  }

  /** @param {ScorePageData} data */
  scoreBar({ brackets }) {
    const row = element("div", "score-bar");
    const labels = brackets.map(({ low, high, meaning }) => {
      const label = element("div", "bracket", meaning);
      label.style.gridColumn = `${low + 1} / ${high + 2}`;
      label.title = meaning;
      return label;
    });
    row.append(...this.cells, ...labels);
    return row;
  }

  /**
   * What the keys do; most can be pressed by mouse.
   * @param {ScorePageData} data
   */
  hints(data) {
    const { actions } = this;
    const row = element("div", "hints");
    const looking = hint("←", "→");
    looking.append(
      button("hint plain", "‹ back", () => actions.move(-1)),
      button("hint plain", "ahead ›", () => actions.move(1)),
    );
    const digits = element("span", "hint");
    digits.append(element("kbd", "", "0"), "–", element("kbd", "", "9"), "score");
    const ten = hint("t");
    ten.append("10");
    row.append(
      digits,
      ten,
      pressableHint("s", "skip", actions.skip),
      pressableHint("u", "undo", actions.undo),
      looking,
      pressableHint("z", "full size", actions.zoom),
      pressableHint("p", "prediction", actions.togglePrediction),
      this.scorerField(data),
    );
    return row;
  }

  /**
   * Shows the image's picture, or `message` where there is none to show.
   * @param {QueuedImage | null} image
   * @param {Node[]} message
   * @param {boolean} showsPrediction
   */
  showImage(image, message, showsPrediction) {
    const picture = image?.state === "ready" ? image.picture : null;
    for (const other of this.stage.querySelectorAll("img.current")) if (other !== image?.picture) other.classList.remove("current");
    picture?.classList.add("current");
    this.message.hidden = Boolean(picture);
    if (!picture) this.message.replaceChildren(...message);
    this.name.textContent = image ? nameOf(image) : "";
    this.name.title = image ? `${image.name} · ${image.source} · ${image.width} × ${image.height}` : "";
    this.prediction.textContent = image && showsPrediction ? predictionText(image) : "";
    // In the random order every image is one.
    this.check.hidden = !image?.draw || this.order.value === "random";
    const score = image?.score ?? null;
    this.given.hidden = score === null;
    this.given.textContent = score === null ? "" : `scored ${scoreText(score)}`;
    this.cells.forEach((cell, value) => cell.classList.toggle("had", score === value));
    this.root.dataset.image = image ? String(image.id) : "";
    this.root.dataset.state = image ? String(image.state) : "empty";
  }

  /**
   * Pictures that may be wanted soon lie in the stage already, unseen.
   * @param {QueuedImage[]} images
   */
  keepNear(images) {
    const near = new Set(images.flatMap((image) => image.picture ?? []));
    for (const picture of this.stage.querySelectorAll("img")) if (!near.has(picture)) picture.remove();
    for (const picture of near) if (picture.parentNode !== this.stage) this.stage.prepend(picture);
  }

  /**
   * Shows what was done for a moment.
   * @param {string} text
   * @param {number | null} [score]
   */
  showFlash(text, score = null) {
    this.flash.textContent = text;
    this.flash.classList.toggle("words", score === null);
    this.flash.style.setProperty("--score", String(score ?? 0));
    this.flash.animate([{ opacity: 1 }, { opacity: 1, offset: 0.55 }, { opacity: 0 }], { duration: 620 });
    if (score !== null) this.cells[score].animate([{ boxShadow: "0 0 0 3px var(--accent)", translate: "0 -3px" }, {}], 320);
  }

  /** @param {Stats} stats */
  showStats(stats) {
    const total = stats.scored + stats.unscored;
    this.count.textContent = stats.scored.toLocaleString();
    this.total.textContent = `of ${total.toLocaleString()} images scored`;
    this.progress.style.width = `${total ? (100 * stats.scored) / total : 0}%`;
    this.pace.textContent = paceText(stats);
    const most = Math.max(1, ...stats.distribution);
    stats.distribution.forEach((count, score) => {
      const { row, fill, number } = this.bars[score];
      fill.style.setProperty("--share", String(count / most));
      number.textContent = count ? count.toLocaleString() : "";
      row.classList.toggle("none", count === 0);
    });
  }

  /**
   * The last few scores as small pictures, newest first; a click goes back to one.
   * @param {QueuedImage[]} images
   * @param {(image: QueuedImage) => void} goTo
   */
  showRecent(images, goTo) {
    this.recent.replaceChildren(
      ...images.map((image) => {
        const made = button("recent-one", "", () => goTo(image));
        made.title = image.name;
        made.append(pictureOf(image), element("b", "", image.score === null ? "–" : scoreText(image.score)));
        return made;
      }),
    );
  }

  close() {
    removeEventListener("resize", this.fillHeight);
    this.root.remove();
  }
}

/** @param {number} score */
function bar(score) {
  const row = element("div", "bar-row");
  const fill = element("i");
  const number = element("b");
  fill.style.setProperty("--score", String(score));
  row.append(element("span", "", String(score)), fill, number);
  return { row, fill, number };
}

/** @param {...string} keys */
function hint(...keys) {
  const made = element("span", "hint");
  made.append(...keys.map((key) => element("kbd", "", key)));
  return made;
}

/**
 * @param {string} key
 * @param {string} text
 * @param {() => void} act
 */
function pressableHint(key, text, act) {
  const made = button("hint plain", "", act);
  made.append(element("kbd", "", key), text);
  return made;
}

/** @param {QueuedImage} image */
function predictionText(image) {
  return image.prediction === null ? "no prediction yet" : `${image.version} predicts ${percent(image.prediction)}`;
}

/** @param {Stats} stats */
function paceText(stats) {
  const today = `${stats.today.toLocaleString()} today`;
  return stats.per_minute ? `${today} · ${Math.round(stats.per_minute)} a minute` : today;
}
