// @ts-check
// Numbers and names as people read them.

/**
 * What an image is called; its file may be missing while its scores and a small copy are kept.
 * @param {{ name: string, gone: boolean }} image
 */
export function nameOf(image) {
  return image.gone ? `${image.name} (missing)` : image.name;
}

/**
 * Cut rather than rounded: what shows 50 % passes a threshold of 50 %.
 * @param {number} prediction 0–1
 */
export function percent(prediction) {
  return `${Math.floor(prediction * 100 + 1e-4)} %`;
}

/**
 * As model/passing.py: float32 can't tell 0.7 from a little less.
 * @param {number} value 0–1
 * @param {number} threshold 0–1
 */
export function passes(value, threshold) {
  return value >= threshold - 5e-7;
}

/** @param {number} share 0–1, or more */
export function rounded(share) {
  return `${Math.round(share * 100)} %`;
}

/**
 * The mean of several scorers keeps two decimals.
 * @param {number} score 0–10
 */
export function scoreText(score) {
  return String(Math.round(score * 100) / 100);
}

/**
 * What to say where a score replaced one that its page didn't know of.
 * @param {string} name of the image
 * @param {number | null} before
 * @param {number} now
 */
export function replacedMessage(name, before, now) {
  const was = before === null ? "was left without a score" : `was scored ${scoreText(before)}`;
  return `${name} ${was} meanwhile, in another window or by somebody else; it is ${scoreText(now)} now. Undo brings back what was.`;
}
