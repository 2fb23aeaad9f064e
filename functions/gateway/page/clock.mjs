// The gateway's clock, from the Date of its answers: a viewer's own may be minutes off, and a latency is a difference.

/** Bounds of (gateway's time - own time) in milliseconds; every answer narrows them, and own time wins within them. */
export class ServerClock {
  #least = -Infinity;
  #most = Infinity;

  /** Take an answer's Date header (whole seconds), asked for and received at these times of our own clock. */
  heard(date, askedMs, receivedMs) {
    const said = Date.parse(date);
    if (Number.isNaN(said)) return;
    const least = said - receivedMs;
    const most = said + 1000 - askedMs;
    if (least > this.#most || most < this.#least) {
      // One of the clocks was set.
      [this.#least, this.#most] = [least, most];
      return;
    }
    this.#least = Math.max(this.#least, least);
    this.#most = Math.min(this.#most, most);
  }

  /** The gateway's Unix milliseconds. */
  now() {
    return Date.now() + Math.min(Math.max(0, this.#least), this.#most);
  }
}
