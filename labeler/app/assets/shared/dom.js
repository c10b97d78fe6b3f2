// What every part of the pages uses. Text from the outside goes into a page by textContent only.

const RETRY_MS = [400, 800, 1500, 3000, 5000];
const NO_ANSWER = "The app doesn't answer.";
const NEWS_MS = 12000;
const TRIES_UNSEEN = 4;

function element(tag, className = "", text = null) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== null) made.textContent = text;
  return made;
}

// A button that never takes the focus from a mouse: after a click the keys still mean scores. A held
// Enter presses it once, as a held key scores once.
function button(className, text, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("mousedown", (event) => event.preventDefault());
  made.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
  made.addEventListener("click", (event) => act(event));
  return made;
}

// What an image is called; its file may be gone while its scores and a small copy are kept.
function nameOf(item) {
  return item.gone ? `${item.name} (missing)` : item.name;
}

// Addresses of ours begin with no slash: a server in front may show the app below a path of its own,
// and every page lies directly there.
function imageUrl(item, kind) {
  const version = item.hash ? `?h=${encodeURIComponent(item.hash)}` : "";
  return `img/${Number(item.id)}/${kind}${version}`;
}

async function getJson(path, query = {}) {
  const response = await fetch(`${path}?${new URLSearchParams(query)}`, {
    headers: { "X-Labeler": "1" },
    signal: AbortSignal.timeout(30000),
  });
  return answer(response);
}

async function postJson(path, body = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Labeler": "1" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15000),
  });
  return answer(response);
}

// The body of a response of ours; throws an Error with the server's own sentence otherwise.
async function answer(response) {
  const json = (response.headers.get("content-type") || "").startsWith("application/json");
  const body = json ? await response.json() : {};
  if (!response.ok || !json) {
    const error = new Error(body.problem || `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return body;
}

// Why a picture can't be shown, as the server says it. Only `missing` is for good: `away` says why it
// can't be had just now ("" where it can be by now).
async function whyNoPicture(item, kind) {
  try {
    const response = await fetch(imageUrl(item, kind), {
      headers: { "X-Labeler": "1" },
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) await answer(response);
  } catch (error) {
    if (error.status === 404) return { missing: error.message, away: "" };
    return { missing: "", away: error.status ? error.message : NO_ANSWER };
  }
  return { missing: "", away: "" };
}

// Has words stand where a picture can't be shown: its file may be gone. One that can't be had just
// now, the app being away for one thing, is tried again for as long as its place is on the page, and
// a few times where it is not there yet.
function orWords(picture, item, kind = "thumbnail") {
  const place = element("div", "broken");
  let tries = 0;
  picture.addEventListener("load", () => place.parentNode && place.replaceWith(picture));
  picture.addEventListener("error", async () => {
    const { missing, away } = await whyNoPicture(item, kind);
    if (picture.parentNode) picture.replaceWith(place);
    const room = place.parentElement?.clientWidth > 180;
    place.title = missing || away;
    place.textContent = missing ? (room ? `missing: ${missing}` : "missing") : room ? away || "loading …" : "…";
    if (missing) return;
    await pause(RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
    if (place.isConnected || tries < TRIES_UNSEEN) picture.src = imageUrl(item, kind);
  });
}

// A sentence about what happened elsewhere; it stands for a while, or until the next one.
class News {
  constructor() {
    this.root = element("div", "news");
    this.root.setAttribute("role", "status");
  }

  say(text) {
    clearTimeout(this.timer);
    this.root.textContent = this.root.title = text;
    this.timer = setTimeout(() => (this.root.textContent = ""), NEWS_MS);
  }
}

// What to say where a score replaced one that its page didn't know of.
function replacedWords(item, before, now) {
  const was = before === null ? "was left without a score" : `was scored ${shownScore(before)}`;
  return `${item.name} ${was} meanwhile, in another window or by somebody else; it is ${shownScore(now)} now. Undo brings back what was.`;
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

// Cut rather than rounded: what shows 50 % passes a threshold of 50 %.
function percent(prediction) {
  return `${Math.floor(prediction * 100 + 1e-4)} %`;
}

function share(value) {
  return `${Math.round(value * 100)} %`;
}

// A hand score as people read it: the mean of several scorers keeps two decimals.
function shownScore(score) {
  return String(Math.round(score * 100) / 100);
}

// The score that a key press means: 0–10, or null. Digits count on both parts of the keyboard and on
// layouts whose digits need Shift (by their place); 10 is "t", the key right of 0, and the pad's "+".
function scoreOfKey(event) {
  if (/^[0-9]$/.test(event.key)) return Number(event.key);
  if (/^Digit[0-9]$/.test(event.code) && !event.shiftKey) return Number(event.code.slice(5));
  if (letterOf(event) === "t" || event.code === "Minus" || event.code === "NumpadAdd") return 10;
  return null;
}

// The Latin letter of a key, by its place where the layout writes another alphabet.
function letterOf(event) {
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  const foreign = event.key.length === 1 && event.key.charCodeAt(0) > 127;
  return foreign && /^Key[A-Z]$/.test(event.code) ? event.code.slice(3).toLowerCase() : null;
}

// Whether a key press is meant for the page: not held down, no shortcut, not typed into a field.
function isForPage(event) {
  if (event.defaultPrevented || event.repeat || event.isComposing) return false;
  if (event.ctrlKey || event.metaKey || event.altKey) return isUndoShortcut(event) && !inField(event);
  return !inField(event);
}

function isUndoShortcut(event) {
  return (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && letterOf(event) === "z";
}

function inField(event) {
  return event.composedPath().some((node) => {
    if (!(node instanceof HTMLElement)) return false;
    if (node.isContentEditable || ["TEXTAREA", "SELECT"].includes(node.tagName)) return true;
    if (["dialog", "listbox", "textbox", "combobox"].includes(node.getAttribute("role"))) return true;
    return node.tagName === "INPUT" && !["button", "checkbox", "radio", "range"].includes(node.type);
  });
}

// Controls that use Space and Enter, or the arrows, themselves while they have the focus.
function pressesControl(event) {
  return onOne(event, ["BUTTON", "A", "SUMMARY", "INPUT"], ["tab", "radio", "button", "link"]);
}

function movesControl(event) {
  return onOne(event, ["INPUT"], ["slider", "tab", "radio", "menuitem"]);
}

function onOne(event, tags, roles) {
  return event
    .composedPath()
    .some((node) => node instanceof HTMLElement && (tags.includes(node.tagName) || roles.includes(node.getAttribute("role"))));
}

// The link that led to this page must not be pressed again by the first Enter or Space here.
function releaseFocus() {
  document.activeElement?.blur?.();
}

// One state per mount: Streamlit calls the component's function again whenever its data changes. When
// changes come fast it also calls the cleanup of a call that a newer one has overtaken, with the
// mount still there: only one that is gone from the document a moment later is closed.
function mounted(Page) {
  const pages = new WeakMap();
  return function ({ parentElement, data, setStateValue, setTriggerValue }) {
    let page = pages.get(parentElement);
    if (page) page.update(data);
    else {
      page = new Page(parentElement, data, setStateValue, setTriggerValue);
      pages.set(parentElement, page);
    }
    return () =>
      setTimeout(() => {
        if (!parentElement.isConnected && pages.delete(parentElement)) page.close();
      });
  };
}
