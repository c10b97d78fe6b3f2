// What the Score page looks like. It knows no events and no server; score.js tells it what to show.

const HINTS = [
  ["0", "–", "9", "score"],
  ["t", "10"],
  ["s", "skip"],
  ["u", "undo"],
  ["←", "→", "look back, ahead"],
  ["z", "full size"],
  ["p", "prediction"],
];

class ScoreView {
  constructor(parent, data, acts) {
    this.acts = acts;
    this.brackets = data.brackets;
    this.root = element("div", "labeler score");
    this.root.append(this.topRow(data), this.middle(), this.bar(), this.hints(data));
    parent.append(this.root);
    this.fit = () => this.fillHeight();
    addEventListener("resize", this.fit);
    this.fillHeight();
  }

  // The page takes the window's height, so that the picture is as large as it can be.
  fillHeight() {
    const top = this.root.getBoundingClientRect().top + document.documentElement.scrollTop;
    this.root.style.height = `${Math.max(430, innerHeight - Math.max(0, top) - 14)}px`;
  }

  topRow(data) {
    const row = element("div", "top");
    this.order = this.orderChoice(data);
    this.name = element("div", "name");
    this.check = element("div", "check", "random check");
    this.check.title = "Drawn at random, whatever the model predicts: the audit on the Progress page counts these";
    this.check.hidden = true;
    this.guess = element("div", "guess");
    this.saving = element("div", "saving");
    this.saving.setAttribute("role", "status");
    this.news = new News();
    row.append(this.order, this.name, this.check, this.guess, this.news.root, this.saving);
    return row;
  }

  orderChoice(data) {
    const select = element("select");
    select.setAttribute("aria-label", "Order of the images");
    for (const [value, words] of data.orders) select.append(option(value, words));
    if (data.sources.length > 1) {
      const group = element("optgroup");
      group.label = "One source, at random";
      for (const [id, name] of data.sources) group.append(option(`source-${id}`, name));
      select.append(group);
    }
    select.addEventListener("change", () => {
      select.blur(); // the next digit is a score, not a choice
      this.acts.order(select.value);
    });
    return select;
  }

  middle() {
    const middle = element("div", "middle");
    this.stage = element("div", "stage");
    this.words = element("div", "stage-words");
    this.flash = element("div", "flash");
    this.given = element("div", "given");
    this.stage.append(this.words, this.given, this.flash);
    this.stage.addEventListener("click", (event) => {
      if (event.target instanceof HTMLImageElement) this.acts.zoom();
    });
    middle.append(this.stage, this.side());
    return middle;
  }

  side() {
    const side = element("aside", "side");
    this.count = element("div", "count");
    this.left = element("div", "quiet");
    this.progress = element("div", "progress");
    this.progress.append(element("i"));
    this.tempo = element("div", "quiet");
    this.bars = element("div", "bars");
    this.rows = Array.from({ length: 11 }, (_, score) => this.barRow(score)).reverse();
    this.bars.append(...this.rows.map(([row]) => row));
    this.recent = element("div", "recent");
    side.append(this.count, this.left, this.progress, this.tempo);
    side.append(element("h4", "", "Scores so far"), this.bars, this.recent);
    return side;
  }

  // Who is scoring: kept by this browser, and sent with every score.
  who(data) {
    const label = element("label", "who", "Scoring as");
    const field = element("input");
    field.type = "text";
    field.maxLength = 80;
    field.placeholder = data.scorer;
    field.value = scorer();
    field.title = "Each person's scores are kept apart; the Progress page shows how far they agree";
    const known = element("datalist");
    known.id = "labeler-scorers";
    for (const name of data.scorers) known.append(option(name, name));
    field.setAttribute("list", known.id);
    field.addEventListener("change", () => {
      field.value = field.value.trim();
      this.acts.scorer(field.value);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") field.blur();
    });
    label.append(field, known);
    return label;
  }

  barRow(score) {
    const row = element("div", "bar-row");
    const fill = element("i");
    fill.style.setProperty("--score", score);
    const number = element("b", "", "");
    row.append(element("span", "", String(score)), fill, number);
    return [row, fill, number];
  }

  bar() {
    const bar = element("div", "score-bar");
    this.cells = Array.from({ length: 11 }, (_, score) => {
      const cell = button("cell", String(score), () => this.acts.score(score));
      cell.style.setProperty("--score", score);
      cell.title = `${score}: ${this.meaning(score)}${score === 10 ? " (key t, the key right of 0, or + on the pad)" : ""}`;
      cell.setAttribute("aria-label", cell.title);
      cell.append(element("kbd", "", score === 10 ? "t" : String(score)));
      return cell;
    });
    bar.append(...this.cells, ...this.brackets.map((bracket) => this.bracketLabel(bracket)));
    return bar;
  }

  bracketLabel(bracket) {
    const label = element("div", "bracket", bracket.meaning);
    label.style.gridColumn = `${bracket.low + 1} / ${bracket.high + 2}`;
    label.title = bracket.meaning;
    return label;
  }

  meaning(score) {
    return this.brackets.find((bracket) => score >= bracket.low && score <= bracket.high)?.meaning ?? "";
  }

  hints(data) {
    const row = element("div", "hints");
    this.buttons = {};
    const act = { undo: () => this.acts.undo(), skip: () => this.acts.skip(), "full size": () => this.acts.zoom(), prediction: () => this.acts.guess() };
    for (const hint of HINTS) {
      const words = hint.at(-1);
      const made = act[words] ? button("hint plain", "", act[words]) : element("span", "hint");
      for (const key of hint.slice(0, -1)) made.append(key === "–" ? document.createTextNode("–") : element("kbd", "", key));
      made.append(document.createTextNode(words));
      this.buttons[words] = made;
      row.append(made);
    }
    const back = button("hint plain", "‹ back", () => this.acts.move(-1));
    const ahead = button("hint plain", "ahead ›", () => this.acts.move(1));
    this.buttons["look back, ahead"].replaceChildren(element("kbd", "", "←"), element("kbd", "", "→"), back, ahead);
    row.append(this.who(data));
    return row;
  }

  // Shows `item`, or `words` where there is no picture to show.
  showItem(item, words, showGuess) {
    for (const picture of this.stage.querySelectorAll("img.current")) {
      if (picture !== item?.element) picture.classList.remove("current");
    }
    const visible = item?.state === "ready";
    if (visible) item.element.classList.add("current");
    this.words.hidden = visible;
    if (!visible) this.words.replaceChildren(...words);
    this.name.textContent = item ? nameOf(item) : "";
    this.name.title = item ? `${item.name} · ${item.source} · ${item.width} × ${item.height}` : "";
    this.guess.textContent = item && showGuess ? guessWords(item) : "";
    // In the random order every image is one.
    this.check.hidden = !item?.draw || this.order.value === "random";
    this.given.hidden = item?.score == null;
    this.given.textContent = item?.score == null ? "" : `scored ${shownScore(item.score)}`;
    this.cells.forEach((cell, score) => cell.classList.toggle("had", item?.score === score));
    const { dataset } = this.root;
    dataset.image = item ? item.id : "";
    dataset.state = item ? item.state : "empty";
  }

  // Pictures that may be wanted soon lie in the stage already, unseen.
  keepNear(items) {
    const wanted = new Set(items.map((item) => item.element).filter(Boolean));
    for (const picture of this.stage.querySelectorAll("img")) if (!wanted.has(picture)) picture.remove();
    for (const picture of wanted) if (picture.parentNode !== this.stage) this.stage.prepend(picture);
  }

  showFlash(text, score = null) {
    this.flash.textContent = text;
    this.flash.classList.toggle("words", score === null);
    this.flash.style.setProperty("--score", score ?? 0);
    const fade = [{ opacity: 1 }, { opacity: 1, offset: 0.55 }, { opacity: 0 }];
    this.flash.animate(fade, { duration: 620 });
    if (score !== null) this.cells[score].animate([{ boxShadow: "0 0 0 3px var(--accent)", translate: "0 -3px" }, {}], 320);
  }

  showStats(stats) {
    if (!stats) return;
    const total = stats.scored + stats.unscored;
    this.count.textContent = stats.scored.toLocaleString();
    this.left.textContent = `of ${total.toLocaleString()} images scored`;
    this.progress.firstChild.style.width = `${total ? (100 * stats.scored) / total : 0}%`;
    this.tempo.textContent = tempoWords(stats);
    const most = Math.max(1, ...stats.distribution);
    for (const [place, [row, fill, number]] of this.rows.entries()) {
      const many = stats.distribution[10 - place];
      fill.style.setProperty("--share", many / most);
      number.textContent = many ? many.toLocaleString() : "";
      row.classList.toggle("none", many === 0);
    }
  }

  // The last few scores as small pictures, newest first; a click goes back to one.
  showRecent(items, goTo) {
    this.recent.replaceChildren(
      ...items.map((item) => {
        const made = button("recent-one", "", () => goTo(item));
        const picture = new Image();
        picture.alt = "";
        orWords(picture, item);
        picture.src = imageUrl(item, "thumbnail");
        made.title = item.name;
        made.append(picture, element("b", "", item.score == null ? "–" : shownScore(item.score)));
        return made;
      }),
    );
  }

  close() {
    removeEventListener("resize", this.fit);
    this.root.remove();
  }
}

function option(value, words) {
  const made = element("option", "", words);
  made.value = value;
  return made;
}

function guessWords(item) {
  return item.prediction == null ? "no prediction yet" : `${item.version} predicts ${percent(item.prediction)}`;
}

function tempoWords(stats) {
  const today = `${stats.today.toLocaleString()} today`;
  return stats.per_minute ? `${today} · ${Math.round(stats.per_minute)} a minute` : today;
}
