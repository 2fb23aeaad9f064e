// What a viewer sees, written down: when the picture moved, what went wrong, and where boxes lie.
window.probe = { moves: [], errors: [] };
addEventListener("error", (event) => probe.errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => probe.errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) =>
  probe.errors.push(`${event.violatedDirective}: ${event.blockedURI}`),
);

let last = -1;
setInterval(() => {
  const video = document.querySelector("video");
  if (!video || video.currentTime === last) return;
  last = video.currentTime;
  probe.moves.push([performance.now(), last]);
}, 25);

/** The grey of the strip at the lower edge of the picture, row by row. */
function strip(video) {
  const [width, height] = [video.videoWidth, video.videoHeight];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, width, height);
  const rows = Math.round((height * 24) / 360);
  const pixels = context.getImageData(0, height - rows, width, rows).data;
  return { width, height, rows, grey: Array.from({ length: width * rows }, (_, at) => pixels[4 * at + 1]) };
}

/** The box that is drawn, as fractions: its edges are the long runs of one colour; letters have none. */
function box(canvas) {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const coloured = (x, y) => {
    const at = 4 * (y * width + x);
    return pixels[at + 3] > 100 && Math.max(pixels[at], pixels[at + 1], pixels[at + 2]) > 120;
  };
  let found = null;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0, run = 0; x <= width; x += 1) {
      if (x < width && coloured(x, y)) {
        run += 1;
        continue;
      }
      if (run > 30) found = { x0: x - run, x1: x, y0: found?.y0 ?? y, y1: y + 1 };
      run = 0;
    }
  }
  return found && [found.x0 / width, found.y0 / height, found.x1 / width, found.y1 / height];
}

/** So many pictures, each with what was drawn over it and its time here. */
probe.look = async (count, everyMs) => {
  const video = document.querySelector("video");
  const looks = [];
  while (looks.length < count) {
    await new Promise((done) => video.requestVideoFrameCallback(done));
    // The page draws in a callback of its own for this picture.
    await new Promise((done) => requestAnimationFrame(done));
    looks.push({ at: Date.now(), strip: strip(video), box: box(document.querySelector("canvas")) });
    await new Promise((done) => setTimeout(done, everyMs));
  }
  return looks;
};
