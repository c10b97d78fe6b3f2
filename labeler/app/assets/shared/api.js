// @ts-check
// Requests to the app. Its addresses begin with no slash: a server in front may show the app below a
// path of its own, and every page lies directly there.

/** @import { ImageRef } from "./payloads" */

export const RETRY_MS = [400, 800, 1500, 3000, 5000];
export const NO_ANSWER = "The app doesn't answer.";

/** The app answered, but not with what was asked for; the message is its own sentence. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} [problem]
   */
  constructor(status, problem) {
    super(problem || `The server answered ${status}.`);
    this.status = status;
  }
}

/**
 * What to tell a person about a request that failed.
 * @param {unknown} error
 */
export function messageOf(error, noAnswer = NO_ANSWER) {
  return error instanceof Refusal ? error.message : noAnswer;
}

/**
 * The pause in milliseconds after so many failures, the first being 0.
 * @param {number} failures
 */
export function retryDelay(failures) {
  return RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
}

/** @param {number} milliseconds */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * @param {ImageRef} image
 * @param {string} kind thumbnail, preview or full
 */
export function imageUrl(image, kind) {
  const version = image.hash ? `?h=${encodeURIComponent(image.hash)}` : "";
  return `img/${Number(image.id)}/${kind}${version}`;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null>} [query]
 * @returns {Promise<any>}
 */
export async function getJson(path, query = {}) {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  return readJson(await fetch(`${path}?${parameters}`, { headers: { "X-Labeler": "1" }, signal: AbortSignal.timeout(30000) }));
}

/**
 * @param {string} path
 * @param {object} [body]
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function postJson(path, body = {}, options = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Labeler": "1" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15000),
    ...options,
  });
  return readJson(response);
}

/**
 * The body of an answer of the app's; throws a Refusal otherwise.
 * @param {Response} response
 */
async function readJson(response) {
  const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
  const body = isJson ? await response.json() : {};
  if (!response.ok || !isJson) throw new Refusal(response.status, body.problem);
  return body;
}

/**
 * Why a picture can't be shown, in the app's own sentence. Only `missing` is for good: `away` says why
 * it can't be had just now ("" where it can be by now).
 * @param {ImageRef} image
 * @param {string} kind
 */
export async function whyNoPicture(image, kind) {
  try {
    const options = { headers: { "X-Labeler": "1" }, signal: AbortSignal.timeout(5000) };
    const response = await fetch(imageUrl(image, kind), options);
    if (!response.ok) await readJson(response);
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return { missing: error.message, away: "" };
    return { missing: "", away: messageOf(error) };
  }
  return { missing: "", away: "" };
}
