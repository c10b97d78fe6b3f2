// Events (scores, skips, undos) on their way to the store. Each lies in localStorage under a key of
// its own from the moment the screen shows it until the server has acknowledged its id, so a reload,
// a closed tab or a dead server loses none; sending one twice is harmless (the id is unique).

const CHUNK_BYTES = 24000; // a keepalive request and the one before it together stay under 64 KB

class Outbox {
  constructor(project) {
    this.project = project;
    this.prefix = `labeler:event:${project}:`;
    this.pending = [];
    this.refused = []; // sentences of the server about events it can't take
    this.problem = null; // why the last attempt failed
    this.keeps = true; // whether this browser keeps what is not yet sent
    this.failures = 0;
    this.number = 0; // of the last event: they are sent in their order, whatever the clock does
    this.listeners = new Set();
    this.adopt();
    addEventListener("pagehide", () => this.sendLast());
    addEventListener("online", () => this.flush());
    addEventListener("storage", (event) => this.heardElsewhere(event));
    addEventListener("beforeunload", (event) => {
      if (!this.keeps && this.pending.length) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.sendLast();
      else this.flush();
    });
    this.flush();
  }

  // One outbox per project and document, shared by the Score and the Review page.
  static of(project) {
    const all = (globalThis[Symbol.for("labeler.outboxes")] ??= new Map());
    if (!all.has(project)) all.set(project, new Outbox(project));
    return all.get(project);
  }

  // Events of an earlier page or another tab that nobody has acknowledged yet.
  adopt() {
    try {
      const known = new Set(this.pending.map((event) => event.event));
      for (const key of Object.keys(localStorage).filter((key) => key.startsWith(this.prefix))) {
        const event = parsed(localStorage.getItem(key));
        if (event && !known.has(event.event)) this.pending.push(event);
      }
      this.pending.sort((a, b) => a.number - b.number || (a.at < b.at ? -1 : 1));
    } catch {
      this.keeps = false;
    }
  }

  // Takes an event and returns it with its id; it is kept before this returns. What its page takes for
  // the image's score until then, and after an undo, is `known`: others may have done more meanwhile.
  add(event) {
    return this.addTogether([event])[0];
  }

  // Takes the events of one key. Each is kept and acknowledged by itself; the ids of those after the
  // first are its id with a dot and a number, so that one undo finds them all.
  addTogether(events) {
    const leader = newId();
    const at = new Date().toISOString();
    const who = scorer() ? { scorer: scorer() } : {};
    const full = events.map((event, k) => ({ event: k ? `${leader}.${k}` : leader, at, number: this.nextNumber(), ...who, ...event }));
    this.pending.push(...full);
    try {
      for (const event of full) localStorage.setItem(this.prefix + event.event, JSON.stringify(event));
      this.keeps = true;
    } catch {
      this.keeps = false;
    }
    this.flush();
    this.changed();
    return full;
  }

  // Above all numbers before it, other tabs' and earlier pages' included, also where the clock was set
  // back meanwhile.
  nextNumber() {
    const key = `labeler:number:${this.project}`;
    this.number = Math.max(Date.now(), this.number + 1);
    try {
      this.number = Math.max(this.number, Number(localStorage.getItem(key) ?? 0) + 1);
      localStorage.setItem(key, String(this.number));
    } catch {
      // This page's own numbers rise all the same.
    }
    return this.number;
  }

  async flush() {
    clearTimeout(this.timer);
    if (this.sending) return this.sending;
    this.sending = this.sendAll();
    try {
      await this.sending;
    } finally {
      this.sending = null;
      this.changed();
    }
  }

  async sendAll() {
    while (this.pending.length) {
      try {
        const body = await this.post(this.firstChunk());
        this.settle(body.receipts);
        this.problem = null;
        this.failures = 0;
        if (!this.pending.length) this.tell("saved", body.stats);
      } catch (error) {
        this.problem = error.status ? error.message : NO_ANSWER;
        const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
        this.timer = setTimeout(() => this.flush(), wait);
        return;
      }
    }
  }

  async post(events) {
    const response = await fetch("api/events", {
      method: "POST",
      keepalive: true,
      headers: { "Content-Type": "application/json", "X-Labeler": "1" },
      body: JSON.stringify({ project: this.project, events }),
      signal: AbortSignal.timeout(15000),
    });
    return answer(response);
  }

  firstChunk() {
    let bytes = 0;
    const count = this.pending.findIndex((event) => (bytes += JSON.stringify(event).length) > CHUNK_BYTES);
    return this.pending.slice(0, count < 1 ? this.pending.length : count);
  }

  settle(receipts) {
    for (const receipt of receipts) {
      const event = this.pending.find((waiting) => waiting.event === receipt.event);
      this.forget(receipt.event);
      if (event && receipt.accepted && !receipt.repeated) this.tell("taken", { ...receipt, event });
      if (!receipt.accepted) this.refused.push(receipt.problem);
    }
    this.changed();
  }

  forget(id) {
    this.pending = this.pending.filter((event) => event.event !== id);
    try {
      localStorage.removeItem(this.prefix + id);
    } catch {
      this.keeps = false;
    }
  }

  // The page is going away: everything once more, by a request that outlives it.
  sendLast() {
    if (this.pending.length) this.post(this.firstChunk()).catch(() => {});
  }

  // What another tab does: an event that it keeps tells this page what an image's score is by now; one
  // that it had acknowledged needs no sending here.
  heardElsewhere(event) {
    if (!event.key?.startsWith(this.prefix)) return;
    const added = parsed(event.newValue);
    if (added) this.tell("elsewhere", added);
    if (event.newValue !== null) return;
    const id = event.key.slice(this.prefix.length);
    this.pending = this.pending.filter((waiting) => waiting.event !== id);
    this.changed();
  }

  // Whether more was done with the image since.
  waitsFor(image) {
    return this.pending.some((event) => event.image === image);
  }

  imageIds() {
    return this.pending.map((event) => event.image);
  }

  // What stands beside the picture: how many scores are not yet in the store, and why.
  describe(badge) {
    const waiting = this.pending.length;
    badge.className = "saving";
    badge.classList.toggle("waiting", waiting > 0);
    badge.classList.toggle("stuck", waiting > 0 && (this.problem !== null || !this.keeps));
    badge.dataset.unsaved = waiting;
    badge.textContent = this.words(waiting);
    badge.title = this.refused.length ? `Not taken: ${this.refused.at(-1)}` : "";
  }

  words(waiting) {
    if (!waiting) return this.refused.length ? `${this.refused.length} not taken: ${this.refused.at(-1)}` : "all saved";
    if (!this.keeps) return `${waiting} not yet saved. This browser keeps nothing: leave the page open`;
    if (this.problem) return `${waiting} not yet saved, kept in this browser. ${this.problem}`;
    return `${waiting} not yet saved`;
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(what, body = null) {
    for (const listener of this.listeners) listener(what, body);
  }

  changed() {
    this.tell("changed");
  }
}

// Who is scoring in this browser; empty is whoever runs the app.
const SCORER = "labeler:scorer";

function scorer() {
  try {
    return localStorage.getItem(SCORER) ?? "";
  } catch {
    return globalThis[Symbol.for(SCORER)] ?? "";
  }
}

function setScorer(name) {
  globalThis[Symbol.for(SCORER)] = name;
  try {
    if (name) localStorage.setItem(SCORER, name);
    else localStorage.removeItem(SCORER);
  } catch {
    // Then it holds until the page is left.
  }
}

function parsed(text) {
  try {
    const event = JSON.parse(text);
    return typeof event?.event === "string" ? event : null;
  } catch {
    return null;
  }
}

// crypto.randomUUID exists only on https and localhost; the app may be opened by another name.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
