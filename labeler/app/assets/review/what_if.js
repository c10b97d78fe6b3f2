// What the corrections typed so far would move, told before any training: a badge on each card that
// would change, and how many of the waiting images would change sides. Asked for when the scores are
// in the store, never before a key is answered; an answer that has been overtaken is dropped.

const SETTLE_MS = 250;
const NOTICEABLE = 0.015;

class Outlook {
  constructor() {
    this.root = element("div", "outlook");
  }

  // Asks anew, once the keys have paused; `cards` gives the cards that are on the screen then.
  ask(cards) {
    clearTimeout(this.timer);
    this.asked = {};
    this.timer = setTimeout(() => this.fetch(cards, this.asked), SETTLE_MS);
  }

  async fetch(cards, asked) {
    try {
      const ids = cards().map((card) => card.item.id).join();
      const answer = await getJson("api/review/moved", { ids });
      if (asked === this.asked) this.show(answer, cards());
    } catch {
      // The cards are right without it; the next score asks again.
    }
  }

  show(answer, cards) {
    for (const card of cards) card.moves(answer.moved[card.item.id]);
    this.root.textContent = answer.corrections ? outlookWords(answer) : "";
    this.root.dataset.corrections = answer.corrections;
    this.root.dataset.crossing = answer.crossing;
  }

  clear() {
    clearTimeout(this.timer);
    this.asked = null;
    this.root.textContent = "";
  }
}

function outlookWords({ crossing, waiting, more }) {
  const count = crossing ? crossing.toLocaleString("en") : "none";
  const among = `${waiting.toLocaleString("en")} waiting images${more ? " nearest the threshold" : ""}`;
  return `By these scores ${count} of the ${among} would change sides; training decides.`;
}
