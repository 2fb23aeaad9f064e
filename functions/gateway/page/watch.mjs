// The watch page: …/t/<token>/watch/<camera>. It puts the parts together and says in words how things are.

import { ServerClock } from "./clock.mjs";
import { Detections } from "./detections.mjs";
import { Feed } from "./feed.mjs";
import { Overlay } from "./overlay.mjs";
import { Player } from "./player.mjs";

const OFFLINE_MS = 15_000;
const SAID_MS = 500;
/** A gateway that is started anew needs no word. */
const PATIENCE_MS = 3_000;
const GONE = "This link is no longer good: it has expired or was withdrawn. Ask whoever gave it to you for a new one.";

const camera = decodeURIComponent(location.pathname.split("/").at(-1));
const root = new URL("..", location.href).href;
const part = (name) => document.getElementById(name);
const video = part("video");
const clock = new ServerClock();
const detections = new Detections();
const overlay = new Overlay(part("overlay"), video);
const player = new Player({ video, url: `${root}hls/${camera}/index.m3u8`, clock, told });
const feed = new Feed({ root, camera, clock, take: (event) => detections.add(event), refused: told });

let met = { ok: true };
let metSince = performance.now();
let over = false;
let showing = true;
let boxes = [];
let about = "";

document.title = `${camera} · Sluice`;
part("camera").textContent = camera;

function told(news) {
  const before = met;
  met = typeof news === "number" ? { ok: false, status: news } : news;
  if (before.ok !== met.ok) metSince = performance.now();
  if (met.status !== 401 || over) return;
  over = true;
  player.end();
  overlay.draw([]);
  say();
}

/** What the gateway knows of a camera that shows nothing. */
async function ask() {
  if (over) return;
  try {
    const answer = await fetch(`${root}api/cameras/${camera}`);
    if (answer.status === 401) told(401);
    about = answer.status === 404 ? "gone" : answer.ok && (await answer.json()).paused ? "paused" : "";
  } catch {
    about = "";
  }
}

function time(ms) {
  return new Date(ms).toLocaleTimeString();
}

function problem() {
  if (over) return GONE;
  const long = performance.now() - metSince > PATIENCE_MS;
  if (!met.ok && long && (met.status === 0 || met.status >= 500)) return "The gateway does not answer; trying again…";
  const edge = player.edge;
  const old = clock.now() - edge;
  if (old > OFFLINE_MS || (Number.isNaN(edge) && met.status === 404)) {
    if (about === "gone" && Number.isNaN(edge)) return `There is no camera “${camera}”, or this link is not for it.`;
    const since = Number.isNaN(edge) ? "nothing was recorded yet" : `last picture at ${time(edge)}`;
    if (about === "gone") return `The camera was removed; ${since}.`;
    return `The camera is ${about === "paused" ? "paused" : "offline"}; ${since}. The picture goes on by itself.`;
  }
  return "";
}

function say() {
  const what = problem();
  // Only what has changed is read out.
  if (part("message").textContent !== what) part("message").textContent = what;
  const taken = player.takenAt(video.currentTime);
  const latency = clock.now() - taken;
  const running = !video.paused && video.readyState > 2;
  const state = what ? "waiting" : video.paused && video.readyState > 1 ? "paused" : running ? "live" : "connecting";
  part("state").textContent = state;
  part("state").className = `state ${state}`;
  part("latency").textContent = running && !over && latency >= 0 ? `${(latency / 1000).toFixed(1)} s behind` : "";
  part("play").textContent = video.paused ? "Play" : "Pause";
  const names = new Map();
  for (const box of boxes) names.set(box.label, (names.get(box.label) ?? 0) + 1);
  const seen = [...names].map(([label, count]) => (count > 1 ? `${count} × ${label}` : label)).join(", ");
  part("seen").textContent = seen || "Nothing that a model knows.";
  detections.forget(clock.now());
}

/** Draw what belongs to the very picture that is shown. */
function shown(seconds) {
  boxes = detections.at(player.takenAt(seconds));
  overlay.draw(showing ? boxes : []);
}

function follow() {
  if (video.requestVideoFrameCallback) {
    video.requestVideoFrameCallback((_now, frame) => {
      shown(frame.mediaTime);
      follow();
    });
  } else {
    shown(video.currentTime);
    requestAnimationFrame(follow);
  }
}

const actions = {
  play: () => (video.paused ? void video.play().catch(() => {}) : video.pause()),
  live: () => player.toLive(),
  boxes: () => {
    showing = !showing;
    part("boxes").setAttribute("aria-pressed", String(showing));
    overlay.draw(showing ? boxes : []);
  },
  sound: () => {
    video.muted = !video.muted;
    part("sound").setAttribute("aria-pressed", String(!video.muted));
  },
  full: () => void (document.fullscreenElement ? document.exitFullscreen() : part("stage").requestFullscreen()),
};
const KEYS = { " ": "play", l: "live", b: "boxes", m: "sound", f: "full" };

for (const [name, act] of Object.entries(actions)) part(name).addEventListener("click", act);
document.addEventListener("keydown", (event) => {
  // A focused button takes the space bar itself.
  if (event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && event.target.closest("button"))) return;
  const name = KEYS[event.key.toLowerCase()];
  if (!name) return;
  event.preventDefault();
  actions[name]();
});
video.addEventListener("loadedmetadata", () => {
  part("stage").style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
});
new ResizeObserver(() => overlay.draw(showing ? boxes : [])).observe(part("stage"));

if (Player.works) {
  player.start();
  feed.start();
  follow();
  setInterval(say, SAID_MS);
  void ask();
  setInterval(() => problem() && ask(), 5_000);
} else {
  part("message").textContent = "This browser cannot play live video here (it has no Media Source Extensions).";
}
