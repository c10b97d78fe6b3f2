// @ts-check
// The elements that all parts of the pages are made of. Text from the outside goes into a page by
// textContent only.

/** @import { Component, ImageRef, Mount, SetValue } from "./payloads" */

import { imageUrl, pause, retryDelay, whyNoPicture } from "./api.js";

const NEWS_MS = 12000;
const TRIES_UNSEEN = 4;
const ROOM_FOR_TEXT = 180; // pixels

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/**
 * A button that never takes the focus from a mouse: after a click the keys still mean scores. A held
 * Enter presses it once, as a held key scores once.
 * @param {string} className
 * @param {string} text
 * @param {() => unknown} act
 */
export function button(className, text, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("mousedown", (event) => event.preventDefault());
  made.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
  made.addEventListener("click", () => act());
  return made;
}

/**
 * A choice of a select or a datalist.
 * @param {string} value
 * @param {string} label
 */
export function option(value, label) {
  const made = element("option", "", label);
  made.value = value;
  return made;
}

/** A line that screen readers read out when it changes. */
export function statusLine(className = "") {
  const made = element("div", className);
  made.setAttribute("role", "status");
  return made;
}

/**
 * The picture of an image. Text stands in its place where it can't be shown: its file may be missing.
 * One that can't be had just now, the app being away for one thing, is tried again for as long as its
 * place is on the page, and a few times where it is not there yet.
 * @param {ImageRef} image
 * @param {Partial<HTMLImageElement>} [options] set before the picture is asked for
 */
export function pictureOf(image, kind = "thumbnail", options = {}) {
  const picture = Object.assign(new Image(), { alt: "", ...options });
  const place = element("div", "broken");
  let tries = 0;
  picture.addEventListener("load", () => place.parentNode && place.replaceWith(picture));
  picture.addEventListener("error", async () => {
    const { missing, away } = await whyNoPicture(image, kind);
    if (picture.parentNode) picture.replaceWith(place);
    const hasRoom = (place.parentElement?.clientWidth ?? 0) > ROOM_FOR_TEXT;
    place.title = missing || away;
    if (missing) place.textContent = hasRoom ? `missing: ${missing}` : "missing";
    else place.textContent = hasRoom ? away || "loading …" : "…";
    if (missing) return;
    await pause(retryDelay(tries++));
    if (place.isConnected || tries < TRIES_UNSEEN) picture.src = imageUrl(image, kind);
  });
  picture.src = imageUrl(image, kind);
  return picture;
}

/** A sentence about what happened elsewhere; it stands for a while, or until the next one. */
export class News {
  root = statusLine("news");
  /** @type {number | undefined} */
  #timer;

  /** @param {string} text */
  say(text) {
    clearTimeout(this.#timer);
    this.root.textContent = this.root.title = text;
    this.#timer = setTimeout(() => (this.root.textContent = ""), NEWS_MS);
  }
}

/**
 * The element that has the focus among those that a component shows.
 * @param {Node} node in the component
 */
export function focusedBeside(node) {
  const root = node.getRootNode();
  return root instanceof ShadowRoot || root instanceof Document ? root.activeElement : null;
}

/** The link that led to this page must not be pressed again by the first Enter or Space here. */
export function releaseFocus() {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/**
 * The function that Streamlit mounts a component by. It is called again whenever the data changes: one
 * state per mount. When changes come fast Streamlit also calls the cleanup of a call that a newer one
 * has overtaken, with the mount still there: only one that is gone from the document a moment later is
 * closed.
 * @template Data
 * @param {new (parent: Node, data: Data, setStateValue: SetValue, setTriggerValue: SetValue) => Component<Data>} Page
 */
export function mounted(Page) {
  /** @type {WeakMap<Node, Component<Data>>} */
  const pages = new WeakMap();
  /** @param {Mount<Data>} mount */
  return ({ parentElement, data, setStateValue, setTriggerValue }) => {
    const page = pages.get(parentElement) ?? new Page(parentElement, data, setStateValue, setTriggerValue);
    if (pages.has(parentElement)) page.update(data);
    pages.set(parentElement, page);
    return () =>
      setTimeout(() => {
        if (!parentElement.isConnected && pages.delete(parentElement)) page.close();
      });
  };
}
