// @ts-check
// What a key press means, and whether it is meant for the page at all.

/**
 * The score that a key press means: 0–10, or null. Digits count on both parts of the keyboard and on
 * layouts whose digits need Shift (by their place); 10 is "t", the key right of 0, and the pad's "+".
 * @param {KeyboardEvent} event
 */
export function scoreOfKey(event) {
  if (/^[0-9]$/.test(event.key)) return Number(event.key);
  if (/^Digit[0-9]$/.test(event.code) && !event.shiftKey) return Number(event.code.slice(5));
  if (letterOf(event) === "t" || event.code === "Minus" || event.code === "NumpadAdd") return 10;
  return null;
}

/**
 * The Latin letter of a key ("" for other keys), by its place where the layout writes another alphabet.
 * @param {KeyboardEvent} event
 */
export function letterOf(event) {
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  const isForeign = event.key.length === 1 && event.key.charCodeAt(0) > 127;
  return isForeign && /^Key[A-Z]$/.test(event.code) ? event.code.slice(3).toLowerCase() : "";
}

/**
 * Whether a key press is meant for the page: not held down, no shortcut, not typed into a field.
 * @param {KeyboardEvent} event
 */
export function isForPage(event) {
  if (event.defaultPrevented || event.repeat || event.isComposing || isInField(event)) return false;
  return isUndoShortcut(event) || !(event.ctrlKey || event.metaKey || event.altKey);
}

/** @param {KeyboardEvent} event */
export function isUndoShortcut(event) {
  return (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && letterOf(event) === "z";
}

/** @param {KeyboardEvent} event */
function isInField(event) {
  return event.composedPath().some((node) => {
    if (!(node instanceof HTMLElement)) return false;
    if (node.isContentEditable || ["TEXTAREA", "SELECT"].includes(node.tagName)) return true;
    if (["dialog", "listbox", "textbox", "combobox"].includes(roleOf(node))) return true;
    return node instanceof HTMLInputElement && !["button", "checkbox", "radio", "range"].includes(node.type);
  });
}

/**
 * Whether a control has the focus that uses Space and Enter itself.
 * @param {KeyboardEvent} event
 */
export function pressesControl(event) {
  return isOnControl(event, ["BUTTON", "A", "SUMMARY", "INPUT"], ["tab", "radio", "button", "link"]);
}

/**
 * Whether a control has the focus that uses the arrows itself.
 * @param {KeyboardEvent} event
 */
export function movesControl(event) {
  return isOnControl(event, ["INPUT"], ["slider", "tab", "radio", "menuitem"]);
}

/**
 * @param {KeyboardEvent} event
 * @param {string[]} tags
 * @param {string[]} roles
 */
function isOnControl(event, tags, roles) {
  return event
    .composedPath()
    .some((node) => node instanceof HTMLElement && (tags.includes(node.tagName) || roles.includes(roleOf(node))));
}

/** @param {HTMLElement} node */
function roleOf(node) {
  return node.getAttribute("role") ?? "";
}
