// One picture at its full size over the whole window: drag or scroll to move, wheel to scale.

class Zoom {
  constructor(parent) {
    this.parent = parent;
    this.open = false;
  }

  show(item) {
    this.close();
    this.open = true;
    this.layer = element("dialog", "zoom"); // a modal one lies above everything else on the page
    this.picture = new Image();
    this.picture.alt = "";
    this.picture.draggable = false;
    this.words = element("div", "zoom-words", "loading …");
    this.layer.append(this.picture, this.words);
    this.picture.addEventListener("load", () => this.fit());
    this.picture.addEventListener("error", async () => {
      const { missing, away } = await whyNoPicture(item, "full");
      const why = missing ? `${item.name} is missing. ${missing}` : away || "The file can't be shown.";
      this.words.textContent = `${why} Esc closes.`;
    });
    this.picture.src = imageUrl(item, "full");
    this.listen();
    this.parent.append(this.layer);
    this.layer.showModal();
  }

  // Full size; a picture smaller than the window fills it, to at most four times its size.
  fit() {
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    const filling = 0.94 * Math.min(innerWidth / width, innerHeight / height);
    this.scale = Math.max(1, Math.min(4, filling));
    this.x = (innerWidth - width * this.scale) / 2;
    this.y = (innerHeight - height * this.scale) / 2;
    this.place();
  }

  place() {
    const { naturalWidth: width, naturalHeight: height } = this.picture;
    this.x = kept(this.x, width * this.scale, innerWidth);
    this.y = kept(this.y, height * this.scale, innerHeight);
    this.picture.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.words.textContent = `${width} × ${height} at ${share(this.scale)} · drag to move, wheel to scale, z closes`;
  }

  listen() {
    let from = null;
    let moved = false;
    const layer = this.layer;
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
      [this.x, this.y] = [x, y];
      this.place();
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

  scaleAt(x, y, factor) {
    const scale = Math.min(16, Math.max(0.1, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.place();
  }

  // Returns whether the key was the zoom's: while it is open, every key is.
  key(event) {
    if (!this.open) return false;
    const step = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    if (event.key === "Escape" || letterOf(event) === "z") this.close();
    else if (step) {
      this.x += step[0];
      this.y += step[1];
      this.place();
    }
    event.preventDefault();
    return true;
  }

  // The focus goes back to where it was.
  close() {
    if (this.layer?.open) this.layer.close();
    this.layer?.remove();
    this.open = false;
  }
}

// Where a side of `length` may start so that the picture never leaves a window of `room`.
function kept(start, length, room) {
  if (length <= room) return Math.min(room - length, Math.max(0, start));
  return Math.min(0, Math.max(room - length, start));
}
