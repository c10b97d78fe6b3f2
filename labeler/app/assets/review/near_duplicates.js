// @ts-check
// The near-duplicates on a card: small pictures that are scored with it unless they are unticked.

/** @import { ImageItem, NearDuplicateItem } from "../shared/payloads" */

import { button, element, focusedBeside, pictureOf } from "../shared/dom.js";
import { scoreText } from "../shared/format.js";

export class NearDuplicates {
  root = element("div", "near-duplicates");
  summary = element("div", "near-duplicates-summary");
  /** @type {Map<number, HTMLElement>} by image id */
  tiles = new Map();
  /** @type {Set<number>} image ids */
  excluded = new Set();

  /**
   * @param {NearDuplicateItem[]} images
   * @param {(image: ImageItem | null) => void} preview shows an image larger, null none
   */
  constructor(images, preview) {
    this.images = images;
    if (!images.length) return;
    const strip = element("div", "strip");
    for (const image of images) this.tiles.set(image.id, this.tile(image, preview));
    strip.append(...this.tiles.values());
    this.root.append(this.summary, strip);
    this.render();
  }

  /**
   * @param {NearDuplicateItem} image
   * @param {(image: ImageItem | null) => void} preview
   */
  tile(image, preview) {
    const tile = button("near-duplicate", "", () => this.toggle(image.id));
    tile.dataset.image = String(image.id);
    tile.setAttribute("role", "checkbox");
    tile.append(pictureOf(image), element("span", "tick", "✓"));
    if (image.score !== null) tile.append(element("b", "", scoreText(image.score)));
    tile.addEventListener("pointerenter", () => preview(image));
    tile.addEventListener("pointerleave", () => preview(null));
    return tile;
  }

  /** @param {number} id */
  toggle(id) {
    if (!this.excluded.delete(id)) this.excluded.add(id);
    this.render();
  }

  // All in or all out.
  toggleAll() {
    this.exclude(this.excluded.size ? [] : this.images.map((image) => image.id));
  }

  /** @param {Iterable<number>} ids */
  exclude(ids) {
    this.excluded = new Set(ids);
    this.render();
  }

  /**
   * One has a score of its own by now: it gets no other one unless it is ticked again.
   * @param {number} id
   * @param {number} score
   */
  scoredElsewhere(id, score) {
    const image = this.images.find((one) => one.id === id);
    if (!image) return;
    image.score = score;
    this.exclude([...this.excluded, id]);
  }

  // The one whose tile has the browser's focus.
  focused() {
    const focused = focusedBeside(this.root);
    return this.images.find((image) => this.tiles.get(image.id)?.contains(focused)) ?? null;
  }

  // Those that get what the card gets.
  included() {
    return this.images.filter((image) => !this.excluded.has(image.id));
  }

  render() {
    if (!this.images.length) return;
    const count = this.included().length;
    const all = `${this.images.length} near-duplicate${this.images.length > 1 ? "s" : ""}`;
    this.summary.textContent = `${all}, ${count === this.images.length ? "" : `${count || "none"} `}scored together`;
    for (const [id, tile] of this.tiles) {
      const isExcluded = this.excluded.has(id);
      tile.classList.toggle("out", isExcluded);
      tile.setAttribute("aria-checked", String(!isExcluded));
      tile.title = isExcluded ? "Left out: click to score it with the others" : "Gets the same score: click to leave it out (n: all)";
    }
  }
}
