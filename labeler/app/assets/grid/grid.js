// @ts-check
// Thumbnails to choose one from. The chosen id goes to the page's script.

/** @import { GridData, SetValue } from "../shared/payloads" */

import { element, focusedBeside, mounted, pictureOf } from "../shared/dom.js";

class Grid {
  root = element("div", "labeler grid");
  /** @type {Map<number, HTMLElement>} by image id */
  tiles = new Map();
  /** @type {number | null} */
  chosen = null;

  /**
   * @param {Node} parent
   * @param {GridData} data
   * @param {SetValue} setStateValue
   */
  constructor(parent, data, setStateValue) {
    this.setStateValue = setStateValue;
    this.root.setAttribute("role", "listbox");
    parent.appendChild(this.root);
    this.update(data);
  }

  /** @param {GridData} data */
  update({ items }) {
    const focused = [...this.tiles].find(([, tile]) => tile === focusedBeside(tile))?.[0];
    this.tiles = new Map(items.map((item) => [item.id, this.tile(item)]));
    this.root.replaceChildren(...this.tiles.values());
    if (focused !== undefined) this.tiles.get(focused)?.focus({ preventScroll: true });
    this.mark(this.chosen !== null && this.tiles.has(this.chosen) ? this.chosen : null);
  }

  /** @param {GridData["items"][number]} item */
  tile(item) {
    const tile = element("button", "tile");
    tile.type = "button";
    tile.dataset.image = String(item.id);
    tile.setAttribute("role", "option");
    const frame = element("div", "frame");
    frame.append(pictureOf(item, "thumbnail", { loading: "lazy", decoding: "async" }));
    tile.append(frame, element("div", "title", item.title), element("div", "caption", item.caption));
    tile.title = [item.title, item.caption].filter(Boolean).join(" · ");
    tile.addEventListener("click", () => {
      this.mark(item.id);
      this.setStateValue("selected", item.id);
    });
    return tile;
  }

  /** @param {number | null} chosen */
  mark(chosen) {
    this.chosen = chosen;
    for (const [id, tile] of this.tiles) {
      tile.classList.toggle("chosen", id === chosen);
      tile.setAttribute("aria-selected", String(id === chosen));
    }
  }

  close() {
    this.root.remove();
  }
}

export default mounted(Grid);
