// Thumbnails to choose one from. The chosen id goes to the page's script.

class Grid {
  constructor(parent, data, setStateValue) {
    this.choose = (id) => setStateValue("selected", id);
    this.root = element("div", "labeler grid");
    this.root.setAttribute("role", "listbox");
    parent.append(this.root);
    this.update(data);
  }

  update(data) {
    const focused = this.root.getRootNode().activeElement?.closest(".tile")?.dataset.image;
    this.root.replaceChildren(...data.items.map((item) => this.tile(item)));
    if (focused) this.root.querySelector(`[data-image="${focused}"]`)?.focus({ preventScroll: true });
    this.mark(data.items.some((item) => item.id === this.chosen) ? this.chosen : null);
  }

  tile(item) {
    const tile = element("button", "tile");
    tile.type = "button";
    tile.dataset.image = item.id;
    tile.setAttribute("role", "option");
    const picture = new Image();
    picture.loading = "lazy";
    picture.decoding = "async";
    picture.alt = "";
    orWords(picture, item);
    picture.src = imageUrl(item, "thumbnail");
    const frame = element("div", "frame");
    frame.append(picture);
    tile.append(frame, element("div", "title", item.title ?? ""), element("div", "caption", item.caption ?? ""));
    tile.title = [item.title, item.caption].filter(Boolean).join(" · ");
    tile.addEventListener("click", () => {
      this.mark(item.id);
      this.choose(item.id);
    });
    return tile;
  }

  mark(id) {
    this.chosen = id;
    for (const tile of this.root.children) {
      const chosen = Number(tile.dataset.image) === id;
      tile.classList.toggle("chosen", chosen);
      tile.setAttribute("aria-selected", String(chosen));
    }
  }

  close() {
    this.root.remove();
  }
}

export default mounted(Grid);
