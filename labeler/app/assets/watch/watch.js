// Something on the server that ends by itself: how far it is, asked for without running the page's
// script again. The page is made anew once, when it has ended. (Were the script run at each look, a
// look that meets the way to another page would be answered with the page that was left.)

const LOOK_MS = 700;
const UNSEEN_MS = 3000; // between two looks of a page that nobody sees
const SAY_AGAIN_MS = 5000; // where the page was told of the end, and is still here

class Watch {
  constructor(parent, data, _setState, setTrigger) {
    this.trigger = setTrigger;
    this.root = element("div", "labeler watch");
    parent.append(this.root);
    this.data = data;
    this.said = -SAY_AGAIN_MS;
    this.look();
  }

  update(data) {
    this.data = data;
  }

  async look() {
    while (!this.closed) {
      const { address, query, every = LOOK_MS } = this.data;
      try {
        const told = await getJson(address, query);
        if (!this.closed) this.hear(told);
      } catch (error) {
        if (this.line) this.line.textContent = error.status ? error.message : "The app doesn't answer; trying again …";
      }
      await pause(document.hidden ? UNSEEN_MS : every);
    }
  }

  hear(told) {
    if (told.ended) this.say("ended");
    else if (told.title !== undefined) this.show(told);
  }

  // Tells the page's script, once for a while; nothing more after it was asked to lead elsewhere.
  say(what) {
    if (this.leaves || performance.now() - this.said < SAY_AGAIN_MS) return;
    this.leaves = what !== "ended";
    this.said = performance.now();
    this.trigger(what, true);
  }

  show(told) {
    if (!this.line) this.build();
    this.title.textContent = told.title;
    this.line.textContent = told.line + (this.data.more ?? "");
    this.bar.hidden = told.share === null;
    this.bar.firstChild.style.width = `${100 * (told.share ?? 0)}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * (told.share ?? 0))));
    this.run = told.run;
    this.stopping.hidden = !told.run;
    this.stopping.disabled = Boolean(told.stopping);
    this.stopping.textContent = told.stopping ? "Stopping …" : "Stop";
    this.curve.replaceChildren(...(told.curve?.length > 1 ? lossCurve(told.curve) : []));
    this.offer.hidden = !(this.data.offer && told.fine);
  }

  build() {
    const row = element("div", "row");
    this.title = element("strong");
    this.stopping = button("plain", "Stop", () => this.stop());
    this.stopping.title = "What is finished so far is kept.";
    row.append(this.title, this.stopping);
    this.bar = element("div", "bar");
    this.bar.setAttribute("role", "progressbar");
    this.bar.append(element("i"));
    this.line = element("div", "line");
    this.line.setAttribute("role", "status");
    const box = element("div", "box");
    box.append(row, this.bar, this.line);
    this.curve = element("div", "curve");
    this.offer = button("plain", this.data.offer ?? "", () => this.say("taken"));
    this.root.append(box, this.curve, this.offer);
  }

  async stop() {
    this.stopping.disabled = true;
    try {
      await postJson(`api/runs/${Number(this.run)}/stop`);
      this.stopping.textContent = "Stopping …";
    } catch (error) {
      this.stopping.disabled = false;
      this.line.textContent = error.status ? error.message : "The app doesn't answer; press Stop again.";
    }
  }

  close() {
    this.closed = true;
    this.root.remove();
  }
}

// Loss over steps: one line for each kind of loss, and what each is at now.
function lossCurve(points) {
  const names = Object.keys(points[0]).filter((name) => name !== "step");
  const values = points.flatMap((point) => names.map((name) => point[name])).filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const last = points.at(-1).step || 1;
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", "0 0 100 100");
  drawn.setAttribute("preserveAspectRatio", "none");
  const legend = element("div", "legend");
  names.forEach((name, number) => {
    const there = points.filter((point) => Number.isFinite(point[name]));
    if (!there.length) return;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const place = (point) => `${(100 * point.step) / last},${98 - (96 * (point[name] - low)) / (high - low || 1)}`;
    line.setAttribute("points", there.map(place).join(" "));
    line.setAttribute("class", `line-${number}`);
    drawn.append(line);
    legend.append(element("span", `line-${number}`, `${name.replaceAll("_", " ")}: ${there.at(-1)[name].toFixed(4)}`));
  });
  legend.append(element("span", "", `step ${last.toLocaleString()}`));
  return [legend, drawn];
}

export default mounted(Watch);
