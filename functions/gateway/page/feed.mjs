// Events of a camera as they come, and those of the moments before the page was opened.

const POLL_MS = 3_000;
const STREAM_AGAIN_MS = 30_000;
const BACK_MS = 45_000;

/** Calls `take(event)` for each detection; `refused(status)` when the token is no longer good. */
export class Feed {
  #from;
  #source = null;

  constructor({ root, camera, clock, take, refused }) {
    Object.assign(this, { root, camera, clock, take, refused });
    this.#from = clock.now() - BACK_MS;
  }

  /** Begin, and go on for as long as the page is open. */
  start() {
    this.#stream();
    void this.#ask();
    // A browser has six connections to a gateway: pages that nobody looks at must not hold them all.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        this.#source?.close();
      } else {
        this.#stream();
        void this.#ask();
      }
    });
  }

  #stream() {
    if (document.hidden || (this.#source && this.#source.readyState !== EventSource.CLOSED)) return;
    const query = new URLSearchParams({ camera: this.camera, kind: "detections" });
    const source = new EventSource(`${this.root}api/events/stream?${query}`);
    this.#source = source;
    source.onmessage = (message) => this.#take(message.data);
    // The browser connects again by itself and says where it was; what it does not forgive is an answer that is none:
    // all places taken, or the token gone.
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      void this.#poll(performance.now() + STREAM_AGAIN_MS);
    };
  }

  async #poll(until) {
    while (performance.now() < until) {
      if (!(await this.#ask())) return;
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    this.#stream();
  }

  /** Ask for what was found since; false if there is no more to ask for. */
  async #ask() {
    const query = new URLSearchParams({ camera: this.camera, kind: "detections", from: Math.round(this.#from), limit: 200 });
    try {
      const answer = await fetch(`${this.root}api/events?${query}`);
      if (answer.status === 401) {
        this.refused(401);
        return false;
      }
      if (answer.ok) {
        for (const event of (await answer.json()).events) this.take(event);
        // Chunks are looked at within seconds, and one that was late is not left out.
        this.#from = Math.max(this.#from, this.clock.now() - BACK_MS);
      }
    } catch {
      // Not there now; it is asked again, or the stream has it.
    }
    return true;
  }

  #take(text) {
    try {
      this.take(JSON.parse(text));
    } catch {
      // Nobody can draw what cannot be read.
    }
  }
}
