// @ts-check
// Something on the server that ends by itself: how far it is, asked for without running the page's
// script again. The page is made anew once, when it has ended. (Were the script run at each look, a
// look that meets the way to another page would be answered with the page that was left.)

/** @import { JobState, SetValue, WatchData } from "../shared/payloads" */

import { getJson, messageOf, pause, postJson } from "../shared/api.js";
import { button, element, mounted, statusLine } from "../shared/dom.js";

const LOOK_MS = 700;
const UNSEEN_MS = 3000; // between two looks of a page that nobody sees
const TRIGGER_AGAIN_MS = 5000; // where the page's script was told of the end, and is still here
const SVG = "http://www.w3.org/2000/svg";

class Watch {
  root = element("div", "labeler watch");
  title = element("strong");
  line = statusLine("line");
  bar = element("div", "bar");
  fill = element("i");
  curve = element("div", "curve");
  stopButton = button("plain", "Stop", () => this.stop());
  offerButton = button("plain", "", () => this.trigger("taken"));
  triggeredAt = -TRIGGER_AGAIN_MS;
  leaves = false; // whether the script was asked to lead elsewhere
  isClosed = false;
  /** @type {number | undefined} id of the run */
  run;

  /**
   * @param {Node} parent
   * @param {WatchData} data
   * @param {SetValue} _setStateValue
   * @param {SetValue} setTriggerValue
   */
  constructor(parent, data, _setStateValue, setTriggerValue) {
    this.data = data;
    this.setTriggerValue = setTriggerValue;
    parent.appendChild(this.root);
    this.look();
  }

  /** @param {WatchData} data */
  update(data) {
    this.data = data;
  }

  async look() {
    while (!this.isClosed) {
      const { address, query, every = LOOK_MS } = this.data;
      try {
        const state = await getJson(address, query);
        if (!this.isClosed) this.hear(state);
      } catch (error) {
        this.line.textContent = messageOf(error, "The app doesn't answer; trying again …");
      }
      await pause(document.hidden ? UNSEEN_MS : every);
    }
  }

  /** @param {JobState} state */
  hear(state) {
    if (state.ended) this.trigger("ended");
    else if (state.title !== undefined) this.show(state);
  }

  /**
   * Tells the page's script, once for a while; nothing more after it was asked to lead elsewhere.
   * @param {"ended" | "taken"} what
   */
  trigger(what) {
    if (this.leaves || performance.now() - this.triggeredAt < TRIGGER_AGAIN_MS) return;
    this.leaves = what !== "ended";
    this.triggeredAt = performance.now();
    this.setTriggerValue(what, true);
  }

  /** @param {JobState} state */
  show({ title = "", line = "", share = null, run, stopping = false, curve = [], fine }) {
    if (!this.root.hasChildNodes()) this.build();
    this.title.textContent = title;
    this.line.textContent = line + this.data.more;
    this.bar.hidden = share === null;
    this.fill.style.width = `${100 * (share ?? 0)}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * (share ?? 0))));
    this.run = run;
    this.stopButton.hidden = !run;
    this.stopButton.disabled = stopping;
    this.stopButton.textContent = stopping ? "Stopping …" : "Stop";
    this.curve.replaceChildren(...(curve.length > 1 ? lossCurve(curve) : []));
    this.offerButton.hidden = !(this.data.offer && fine);
  }

  build() {
    const row = element("div", "row");
    this.stopButton.title = "What is finished so far is kept.";
    row.append(this.title, this.stopButton);
    this.bar.setAttribute("role", "progressbar");
    this.bar.append(this.fill);
    const box = element("div", "box");
    box.append(row, this.bar, this.line);
    this.offerButton.textContent = this.data.offer ?? "";
    this.root.append(box, this.curve, this.offerButton);
  }

  async stop() {
    this.stopButton.disabled = true;
    try {
      await postJson(`api/runs/${Number(this.run)}/stop`);
      this.stopButton.textContent = "Stopping …";
    } catch (error) {
      this.stopButton.disabled = false;
      this.line.textContent = messageOf(error, "The app doesn't answer; press Stop again.");
    }
  }

  close() {
    this.isClosed = true;
    this.root.remove();
  }
}

/**
 * Loss over steps: one line for each kind of loss, and what each is at now.
 * @param {NonNullable<JobState["curve"]>} points
 */
function lossCurve(points) {
  const losses = Object.keys(points[0]).filter((name) => name !== "step");
  const values = points.flatMap((point) => losses.map((name) => point[name])).filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const lastStep = points[points.length - 1].step || 1;
  const graph = document.createElementNS(SVG, "svg");
  graph.setAttribute("viewBox", "0 0 100 100");
  graph.setAttribute("preserveAspectRatio", "none");
  const legend = element("div", "legend");
  losses.forEach((name, k) => {
    const measured = points.filter((point) => Number.isFinite(point[name]));
    if (!measured.length) return;
    const line = document.createElementNS(SVG, "polyline");
    const corners = measured.map((point) => `${(100 * point.step) / lastStep},${98 - (96 * (point[name] - low)) / (high - low || 1)}`);
    line.setAttribute("points", corners.join(" "));
    line.setAttribute("class", `line-${k}`);
    graph.append(line);
    legend.append(element("span", `line-${k}`, `${name.replaceAll("_", " ")}: ${measured[measured.length - 1][name].toFixed(4)}`));
  });
  legend.append(element("span", "", `step ${lastStep.toLocaleString()}`));
  return [legend, graph];
}

export default mounted(Watch);
