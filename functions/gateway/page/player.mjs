// A live picture that goes on whatever happens: hls.js, told to be patient, and watched in case it is stuck.

import Hls from "./hls.mjs";
import { rateFor } from "./pace.mjs";

const RETRY_MS = 1_000;
const STUCK_MS = 8_000;
const KNOWN_ENTRIES = 100;

// Two target durations: one chunk is being recorded, one is being read, and a late one still comes in time.
const SYNC_COUNT = 2;
const MOST_COUNT = 3;

/** Everything but an answer that says no to us for ever is tried again. */
const patient = {
  maxNumRetry: Infinity,
  retryDelayMs: RETRY_MS,
  maxRetryDelayMs: RETRY_MS,
  shouldRetry: (_config, _count, _timeout, response) => response?.code !== 401,
};
const times = { maxTimeToFirstByteMs: 5_000, maxLoadTimeMs: 10_000 };

const CONFIG = {
  liveSyncDurationCount: SYNC_COUNT,
  liveMaxLatencyDurationCount: MOST_COUNT,
  // The pace is ours: hls.js only ever goes faster, and a camera's break takes the reserve away for good (#keepPace).
  maxLiveSyncPlaybackRate: 1,
  // Each stop of the picture would move the mark, up to where it jumps; our pace brings the reserve back instead.
  liveSyncOnStallIncrease: 0,
  // What is there is fMP4 already: a worker would have nothing to do.
  enableWorker: false,
  backBufferLength: 30,
  playlistLoadPolicy: { default: { ...times, timeoutRetry: patient, errorRetry: patient } },
  // Of this one hls.js tries again without a word, and a viewer should know why there is no picture: see #failed.
  manifestLoadPolicy: { default: { ...times, timeoutRetry: null, errorRetry: null } },
};

/** Plays `url` in `video`; tells what it meets: `told({ok|status|offline…})`. */
export class Player {
  #entries = new Map();
  #hls = null;
  #moved = { at: 0, time: -1 };
  #over = false;

  constructor({ video, url, clock, told }) {
    Object.assign(this, { video, url, clock, told });
  }

  static get works() {
    return Hls.isSupported();
  }

  start() {
    this.#open();
    setInterval(() => {
      this.#watch();
      this.#keepPace();
    }, 250);
    this.video.addEventListener("ended", () => this.#open());
  }

  /** Stop for good. */
  end() {
    this.#over = true;
    this.#hls?.destroy();
    this.#hls = null;
  }

  /** Unix milliseconds at which the picture of this media time was taken; NaN if nobody knows. */
  takenAt(seconds) {
    for (const each of [...this.#entries.values()].reverse()) {
      if (seconds >= each.start - 0.01 && seconds < each.end) return each.taken + (seconds - each.start) * 1000;
    }
    return NaN;
  }

  /** Unix milliseconds of the end of the newest chunk that is listed; NaN if none is. */
  get edge() {
    const last = this.#hls?.latestLevelDetails?.fragments.at(-1);
    return last?.programDateTime ? last.programDateTime + last.duration * 1000 : NaN;
  }

  /** Where a viewer should be; NaN if nobody knows. */
  get livePosition() {
    return this.#hls?.liveSyncPosition ?? NaN;
  }

  toLive() {
    if (!Number.isNaN(this.livePosition)) this.video.currentTime = this.livePosition;
    void this.video.play().catch(() => {});
  }

  #open() {
    if (this.#over) return;
    this.#hls?.destroy();
    this.#entries.clear();
    this.#moved = { at: performance.now(), time: -1 };
    const hls = new Hls(CONFIG);
    this.#hls = hls;
    hls.on(Hls.Events.LEVEL_LOADED, (_name, data) => this.#listed(data));
    hls.on(Hls.Events.FRAG_BUFFERED, (_name, data) => this.#buffered(data.frag));
    hls.on(Hls.Events.ERROR, (_name, data) => this.#failed(hls, data));
    hls.on(Hls.Events.MANIFEST_PARSED, () => void this.video.play().catch(() => {}));
    hls.loadSource(this.url);
    hls.attachMedia(this.video);
  }

  #listed({ networkDetails, stats }) {
    const date = networkDetails?.getResponseHeader?.("Date");
    const since = Date.now() - performance.now();
    if (date) this.clock.heard(date, since + stats.loading.start, since + stats.loading.end);
    this.told({ ok: true });
  }

  #buffered(frag) {
    if (frag.sn === "initSegment" || !frag.programDateTime) return;
    const start = frag.elementaryStreams?.video?.startPTS ?? frag.start;
    this.#entries.delete(frag.sn);
    this.#entries.set(frag.sn, { start, end: frag.end, taken: frag.programDateTime });
    if (this.#entries.size > KNOWN_ENTRIES) this.#entries.delete(this.#entries.keys().next().value);
  }

  #failed(hls, data) {
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) this.told({ ok: false, status: data.response?.code ?? 0 });
    if (!data.fatal || this.#over) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      hls.recoverMediaError();
      return;
    }
    setTimeout(() => hls === this.#hls && this.#open(), RETRY_MS);
  }

  #keepPace() {
    const { latency, targetLatency } = this.#hls ?? {};
    if (!latency || !targetLatency) return;
    const { buffered, currentTime, playbackRate } = this.video;
    const ahead = buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
    const rate = rateFor({ latency, target: targetLatency, ahead });
    if (rate !== playbackRate) this.video.playbackRate = rate;
  }

  /** Go over a hole where a chunk is missing, and begin anew when the picture stands still though there is more. */
  #watch() {
    const now = performance.now();
    const { buffered, currentTime, readyState, seeking } = this.video;
    for (let each = 0; readyState === 2 && !seeking && each < buffered.length; each += 1) {
      if (buffered.start(each) <= currentTime) continue;
      this.video.currentTime = buffered.start(each) + 0.01;
      return;
    }
    if (this.video.paused || this.video.currentTime !== this.#moved.time) {
      this.#moved = { at: now, time: this.video.currentTime };
    } else if (now - this.#moved.at > STUCK_MS && this.edge > this.takenAt(this.video.currentTime) + STUCK_MS) {
      this.#open();
    }
  }
}
