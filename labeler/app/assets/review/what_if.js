// @ts-check
// What the corrections typed so far would change, told before any training: a badge on each card that
// would change, and how many of the waiting images would change sides. Asked for when the scores are
// in the store, never before a key is answered; an answer that has been overtaken is dropped.

/** @import { WhatIfAnswer } from "../shared/payloads" */
/** @import { Card } from "./card.js" */

import { getJson } from "../shared/api.js";
import { element } from "../shared/dom.js";

const REST_MS = 250;

export class WhatIf {
  root = element("div", "what-if");
  generation = 0;
  /** @type {number | undefined} */
  timer;

  /**
   * Asks anew, once the keys have paused.
   * @param {() => Card[]} cards those that are on the screen then
   */
  ask(cards) {
    clearTimeout(this.timer);
    const generation = ++this.generation;
    this.timer = setTimeout(() => this.fetch(cards, generation), REST_MS);
  }

  /**
   * @param {() => Card[]} cards
   * @param {number} generation
   */
  async fetch(cards, generation) {
    try {
      const answer = await getJson("api/review/moved", { ids: cards().map((card) => card.item.id).join() });
      if (generation === this.generation) this.show(answer, cards());
    } catch {
      // The cards are right without it; the next score asks again.
    }
  }

  /**
   * @param {WhatIfAnswer} answer
   * @param {Card[]} cards
   */
  show(answer, cards) {
    for (const card of cards) card.showPrediction(answer.moved[card.item.id]);
    this.root.textContent = answer.corrections ? summary(answer) : "";
    this.root.dataset.corrections = String(answer.corrections);
    this.root.dataset.crossing = String(answer.crossing);
  }

  clear() {
    clearTimeout(this.timer);
    this.generation += 1;
    this.root.textContent = "";
  }
}

/** @param {WhatIfAnswer} answer */
function summary({ crossing, waiting, more }) {
  const count = crossing ? crossing.toLocaleString("en") : "none";
  const among = `${waiting.toLocaleString("en")} waiting images${more ? " nearest the threshold" : ""}`;
  return `By these scores ${count} of the ${among} would change sides; training decides.`;
}
