// @ts-check
// One picture at its full size over the whole window: drag or scroll to move, wheel to scale.

/** @import { ImageItem } from "./payloads" */

import { imageUrl, whyNoPicture } from "./api.js";
import { element } from "./dom.js";
import { rounded } from "./format.js";
import { letterOf } from "./keyboard.js";

const STEP = 80; // pixels that an arrow moves the picture
/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };

export class Zoom {
  layer = element("dialog", "zoom"); // a modal one lies above everything else on the page
  picture = new Image();
  caption = element("div", "zoom-words");
  scale = 1;
  x = 0;
  y = 0;

  /** @param {Element} parent */
  constructor(parent) {
    this.parent = parent;
  }

  get isOpen() {
    return this.layer.open;
  }

  /** @param {ImageItem} image */
  show(image) {
    this.close();
    this.layer = element("dialog", "zoom");
    this.picture = Object.assign(new Image(), { alt: "", draggable: false });
    this.caption.textContent = "loading …";
    this.layer.append(this.picture, this.caption);
    this.picture.addEventListener("load", () => this.fit());
    this.picture.addEventListener("error", async () => {
      const { missing, away } = await whyNoPicture(image, "full");
      const why = missing ? `${image.name} is missing. ${missing}` : away || "The file can't be shown.";
      this.caption.textContent = `${why} Esc closes.`;
    });
    this.picture.src = imageUrl(image, "full");
    this.listen();
    this.parent.append(this.layer);
    this.layer.showModal();
  }

  // Full size; a picture smaller than the window fills it, to at most four times its size.
  fit() {
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    const filling = 0.94 * Math.min(innerWidth / width, innerHeight / height);
    this.scale = Math.max(1, Math.min(4, filling));
    this.moveTo((innerWidth - width * this.scale) / 2, (innerHeight - height * this.scale) / 2);
  }

  /**
   * @param {number} x pixels from the window's left side
   * @param {number} y
   */
  moveTo(x, y) {
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    this.x = keptInside(x, width * this.scale, innerWidth);
    this.y = keptInside(y, height * this.scale, innerHeight);
    this.picture.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.caption.textContent = `${width} × ${height} at ${rounded(this.scale)} · drag to move, wheel to scale, z closes`;
  }

  listen() {
    /** @type {[number, number] | null} */
    let from = null;
    let moved = false;
    const { layer } = this;
    layer.addEventListener("cancel", () => this.close());
    layer.addEventListener("pointerdown", (event) => {
      from = [event.clientX - this.x, event.clientY - this.y];
      moved = false;
      layer.setPointerCapture(event.pointerId);
      layer.classList.add("dragging");
    });
    layer.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
      moved ||= Math.hypot(x - this.x, y - this.y) > 4;
      this.moveTo(x, y);
    });
    layer.addEventListener("pointerup", () => {
      from = null;
      layer.classList.remove("dragging");
      if (!moved) this.close();
    });
    layer.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.scaleAt(event.clientX, event.clientY, Math.exp(-event.deltaY / 400));
    });
  }

  /**
   * @param {number} x what stays in its place
   * @param {number} y
   * @param {number} factor
   */
  scaleAt(x, y, factor) {
    const before = this.scale;
    this.scale = Math.min(16, Math.max(0.1, before * factor));
    this.moveTo(x - ((x - this.x) * this.scale) / before, y - ((y - this.y) * this.scale) / before);
  }

  /**
   * Returns whether the key was the zoom's: while it is open, every key is.
   * @param {KeyboardEvent} event
   */
  key(event) {
    if (!this.isOpen) return false;
    const step = STEPS[event.key];
    if (event.key === "Escape" || letterOf(event) === "z") this.close();
    else if (step) this.moveTo(this.x + step[0], this.y + step[1]);
    event.preventDefault();
    return true;
  }

  // The focus goes back to where it was.
  close() {
    if (this.layer.open) this.layer.close();
    this.layer.remove();
  }
}

/**
 * Where a side of `length` may start so that the picture never leaves a window of `room`.
 * @param {number} start
 * @param {number} length
 * @param {number} room
 */
function keptInside(start, length, room) {
  if (length <= room) return Math.min(room - length, Math.max(0, start));
  return Math.min(0, Math.max(room - length, start));
}
