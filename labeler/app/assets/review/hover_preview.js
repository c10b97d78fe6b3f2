// A larger picture beside the pointer's card, for as long as the pointer rests on its picture.

const REST_MS = 350;

class Peek {
  constructor(parent) {
    this.layer = parent.appendChild(element("div", "peek"));
    this.layer.popover = "manual"; // above everything, cut off by nothing
  }

  // Shows `card` after a moment's rest; null takes the picture away.
  show(card) {
    clearTimeout(this.timer);
    if (this.layer.matches(":popover-open")) this.layer.hidePopover();
    if (card) this.timer = setTimeout(() => this.open(card), REST_MS);
  }

  open(card) {
    if (!card.root.isConnected) return;
    const box = card.root.getBoundingClientRect();
    const picture = new Image();
    picture.alt = "";
    orWords(picture, card.item, "preview");
    picture.src = imageUrl(card.item, "preview");
    this.layer.classList.toggle("left", box.left + box.width / 2 > innerWidth / 2);
    this.layer.replaceChildren(picture);
    this.layer.showPopover();
  }
}
