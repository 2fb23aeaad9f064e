// What models found, by the time of the picture: kept for a while, and asked for at any moment in between.

const KEPT_MS = 120_000;
/** Two looks that lie further apart than this have nothing to do with each other. */
const APART_MS = 1_500;
/** A box is shown so long after the last look that had it. */
const HELD_MS = 250;

/** The looks of one model, by time. */
class Looks {
  times = [];
  frames = [];

  add(atMs, objects) {
    let place = this.times.length;
    while (place > 0 && this.times[place - 1] >= atMs) place -= 1;
    const known = this.times[place] === atMs ? 1 : 0;
    this.times.splice(place, known, atMs);
    this.frames.splice(place, known, objects);
  }

  forget(beforeMs) {
    let count = 0;
    while (count < this.times.length && this.times[count] < beforeMs) count += 1;
    this.times.splice(0, count);
    this.frames.splice(0, count);
  }

  at(ms) {
    const next = this.times.findIndex((each) => each > ms);
    const before = (next < 0 ? this.times.length : next) - 1;
    if (before < 0) return [];
    const after = next < 0 ? null : next;
    if (after === null || this.times[after] - this.times[before] > APART_MS) {
      return ms - this.times[before] <= HELD_MS ? this.frames[before] : [];
    }
    const share = (ms - this.times[before]) / (this.times[after] - this.times[before]);
    return between(this.frames[before], this.frames[after], share);
  }
}

/** Boxes between two looks: what is in both moves on evenly, what is in one only is shown in its half. */
export function between(before, after, share) {
  const left = new Set(after);
  const shown = [];
  for (const each of before) {
    const partner = nearest(each, left);
    if (partner) {
      left.delete(partner);
      shown.push(mixed(each, partner, share));
    } else if (share < 0.5) {
      shown.push(each);
    }
  }
  return share < 0.5 ? shown : shown.concat([...left]);
}

function nearest(box, others) {
  let found = null;
  let least = Infinity;
  for (const other of others) {
    if (other.label !== box.label) continue;
    const far = Math.max(
      Math.abs(other.x0 + other.x1 - box.x0 - box.x1) / (box.x1 - box.x0 + other.x1 - other.x0),
      Math.abs(other.y0 + other.y1 - box.y0 - box.y1) / (box.y1 - box.y0 + other.y1 - other.y0),
    );
    // Further than its own size is another one, or a cut.
    if (far < 1 && far < least) [found, least] = [other, far];
  }
  return found;
}

function mixed(from, to, share) {
  const mix = (name) => from[name] + (to[name] - from[name]) * share;
  return { label: from.label, score: mix("score"), x0: mix("x0"), y0: mix("y0"), x1: mix("x1"), y1: mix("y1") };
}

/** All looks of a camera's models. */
export class Detections {
  #models = new Map();

  /** Take an event; what is no detection is left alone. */
  add(event) {
    const data = event?.data;
    if (event?.type !== "dev.sluice.objects.detected.v1" || !Array.isArray(data?.frames)) return;
    const looks = this.#models.get(data.model) ?? new Looks();
    this.#models.set(data.model, looks);
    for (const frame of data.frames) {
      const atMs = Date.parse(frame.at);
      if (!Number.isNaN(atMs)) looks.add(atMs, frame.objects ?? []);
    }
  }

  /** Let go of what nobody will look at again. */
  forget(nowMs) {
    for (const looks of this.#models.values()) looks.forget(nowMs - KEPT_MS);
  }

  /** The boxes at a time of the picture. */
  at(ms) {
    return [...this.#models.values()].flatMap((looks) => looks.at(ms));
  }
}
