// @ts-check
// A larger picture beside the pointer's card, for as long as the pointer rests on its picture.

/** @import { ImageItem } from "../shared/payloads" */

import { element, pictureOf } from "../shared/dom.js";

const REST_MS = 350;

export class HoverPreview {
  layer = element("div", "hover-preview");
  /** @type {number | undefined} */
  timer;

  /** @param {Element} parent */
  constructor(parent) {
    this.layer.popover = "manual"; // above everything, cut off by nothing
    parent.append(this.layer);
  }

  /**
   * Shows an image beside `anchor` after a moment's rest.
   * @param {Element} anchor
   * @param {ImageItem} image
   */
  show(anchor, image) {
    this.hide();
    this.timer = setTimeout(() => this.open(anchor, image), REST_MS);
  }

  hide() {
    clearTimeout(this.timer);
    if (this.layer.matches(":popover-open")) this.layer.hidePopover();
  }

  /**
   * @param {Element} anchor
   * @param {ImageItem} image
   */
  open(anchor, image) {
    if (!anchor.isConnected) return;
    const { left, width } = anchor.getBoundingClientRect();
    this.layer.classList.toggle("left", left + width / 2 > innerWidth / 2);
    this.layer.replaceChildren(pictureOf(image, "preview"));
    this.layer.showPopover();
  }
}
