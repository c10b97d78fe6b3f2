// @ts-check
// What this browser remembers between visits: who is scoring, and other choices.

const SCORER = "labeler:scorer";
let unstoredScorer = "";

/** Who is scoring in this browser; empty is whoever runs the app. */
export function scorer() {
  return stored(SCORER) ?? unstoredScorer;
}

/** @param {string} name */
export function setScorer(name) {
  // Where nothing can be stored it holds until the page is left.
  unstoredScorer = store(SCORER, name || null) ? "" : name;
}

/**
 * @param {string} key
 * @returns {string | null}
 */
export function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string | null} value null removes it
 * @returns {boolean} whether this browser stores anything
 */
export function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
