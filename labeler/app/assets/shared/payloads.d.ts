// The JSON that goes between the app and its pages. `labeler/app/routes/payloads.py` and the routes make it.

/** Scores are 0–10, predictions and thresholds 0–1. */
export interface ImageItem {
  id: number;
  hash: string | null;
  name: string;
  source: string;
  width: number;
  height: number;
  score: number | null;
  /** The file is missing; its scores and a small copy are kept. */
  gone: boolean;
}

/** What is needed to show an image's picture and to name it. */
export type ImageRef = Pick<ImageItem, "id"> & Partial<Pick<ImageItem, "name" | "hash">>;

export interface QueueItem extends ImageItem {
  prediction: number | null;
  version: string | null;
  /** Drawn at random, whatever the order. */
  draw?: boolean;
  /** Scored by this person a while ago, and shown as if it were new. */
  repeat?: boolean;
}

export interface Stats {
  scored: number;
  unscored: number;
  /** How many images have a score that rounds to 0, 1, … 10. */
  distribution: number[];
  today: number;
  last_hour: number;
  per_minute: number | null;
}

/** GET /api/queue */
export interface QueuePage {
  items: QueueItem[];
  explanation: string | null;
  stats: Stats;
}

/** What this person did last, and can undo. */
export interface RecentEvent {
  event: string;
  image: number;
  skip: boolean;
  before: number | null;
  /** A score of an image that was shown as if it were new; `before` is null then. */
  repeat?: boolean;
  together: { event: string; image: number }[];
}

/** GET /api/recent */
export interface RecentEvents {
  events: RecentEvent[];
  items: QueueItem[];
  stats: Stats;
}

export type ReviewQueue = "mistake" | "false-positive" | "false-negative" | "hand-score";

export interface NearDuplicateItem extends ImageItem {
  queue: ReviewQueue;
  prediction: number;
}

export interface CardItem extends NearDuplicateItem {
  version: string;
  threshold: number;
  /** The score that means "the model is right". */
  confirm: number;
  /** What that says of the score: at least the first, less than the second; null where open. */
  confirm_bounds: [number | null, number | null];
  reasons: { words: string; more: string | null; strong: boolean }[];
  /** `confirmed` says what is known of a score that is a confirmation. */
  near: (ImageItem & { score: number; similarity: number; confirmed: string | null })[];
  together: NearDuplicateItem[];
}

export interface RoundCounts {
  corrected: number;
  confirmed: number;
  skipped: number;
}

/** GET /api/review */
export interface ReviewPage {
  cards: CardItem[];
  /** Images that could still be shown, these cards' included. */
  waiting: number;
  threshold: number;
  explanation: string | null;
  round: RoundCounts;
  events: RecentEvent[];
}

export interface PredictionChange {
  before: number;
  after: number;
}

/** GET /api/review/moved: what the round's corrections would change before any training. */
export interface WhatIfAnswer {
  moved: Record<number, PredictionChange>;
  crossing: number;
  waiting: number;
  more: boolean;
  corrections: number;
}

/** What a page says that was done; `known` is what it took for the image's score before. */
export interface NewEvent {
  kind: "score" | "confirm" | "skip" | "undo";
  image: number;
  score?: number;
  known?: number | null;
  undoes?: string;
  hash?: string | null;
  queue?: string;
  prediction?: number | null;
  version?: string | null;
  threshold?: number;
  draw?: boolean;
  repeat?: boolean;
  /** What is said where no number is: at least this, and less than `below`. */
  at_least?: number | null;
  below?: number | null;
}

/** POST /api/events */
export interface ScoreEvent extends NewEvent {
  event: string;
  at: string;
  number: number;
  scorer?: string;
}

export interface Receipt {
  event: string;
  accepted: boolean;
  repeated: boolean;
  problem: string;
  before: number | null;
  after: number | null;
}

export interface Receipts {
  receipts: Receipt[];
  stats: Stats;
}

/** GET /api/watch/… */
export interface JobState {
  ended: boolean;
  title?: string;
  line?: string;
  run?: number;
  /** How much of it is done, 0–1; null where nobody knows. */
  share?: number | null;
  stopping?: boolean;
  /** Losses over training steps, by the loss's name. */
  curve?: ({ step: number } & Record<string, number>)[];
  /** How many images can be shown by now. */
  fine?: number;
}

// What Streamlit's scripts hand to the components.

export interface ScorePageData {
  project: string;
  brackets: { low: number; high: number; meaning: string }[];
  checks: number;
  repeats: number;
  scorer: string;
  scorers: string[];
  orders: [order: string, label: string][];
  sources: [id: number, name: string][];
}

export interface ReviewPageData {
  project: string;
  threshold: number;
  version: string;
}

export interface GridData {
  items: (ImageRef & { title?: string; caption?: string })[];
}

export interface WatchData {
  address: string;
  query: Record<string, string>;
  more: string;
  offer?: string;
  every?: number;
}

/** What Streamlit calls a component with. */
export interface Mount<Data> {
  parentElement: HTMLElement | ShadowRoot;
  data: Data;
  setStateValue: SetValue;
  setTriggerValue: SetValue;
}

export type SetValue = (name: string, value: unknown) => void;

/** One part of a page, from its mount to its removal. */
export interface Component<Data> {
  update(data: Data): void;
  close(): void;
}
