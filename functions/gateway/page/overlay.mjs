// Boxes and labels over the picture, on whole device pixels.

const LINE = 2;
const FONT = 13;

/** A colour for a label, always the same. */
export function colour(label) {
  let hue = 0;
  for (const letter of label) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${hue} 95% 62%)`;
}

/** Where the picture lies in an element of this size that shows it whole. */
export function placed(width, height, pictureWidth, pictureHeight) {
  const scale = Math.min(width / pictureWidth, height / pictureHeight);
  const [across, down] = [pictureWidth * scale, pictureHeight * scale];
  return { x: (width - across) / 2, y: (height - down) / 2, width: across, height: down };
}

export class Overlay {
  #drawn = false;

  constructor(canvas, video) {
    Object.assign(this, { canvas, video, context: canvas.getContext("2d") });
  }

  draw(boxes) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      [this.canvas.width, this.canvas.height] = [wide, high];
    } else if (this.#drawn) {
      this.context.clearRect(0, 0, wide, high);
    }
    this.#drawn = boxes.length > 0;
    if (!this.#drawn || !this.video.videoWidth) return;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const place = placed(width, height, this.video.videoWidth, this.video.videoHeight);
    for (const box of boxes) this.#box(box, place, width);
  }

  #box(box, place, width) {
    const context = this.context;
    const [x, y] = [place.x + box.x0 * place.width, place.y + box.y0 * place.height];
    const [across, down] = [(box.x1 - box.x0) * place.width, (box.y1 - box.y0) * place.height];
    context.strokeStyle = colour(box.label);
    context.lineWidth = LINE;
    context.strokeRect(x, y, across, down);
    const text = `${box.label} ${Math.round(box.score * 100)} %`;
    context.font = `${FONT}px system-ui, sans-serif`;
    const wide = context.measureText(text).width + 8;
    const left = Math.max(0, Math.min(x - LINE / 2, width - wide));
    const top = y >= FONT + 8 ? y - FONT - 7 : y + down + LINE;
    context.fillStyle = "rgb(0 0 0 / 75%)";
    context.fillRect(left, top, wide, FONT + 6);
    context.fillStyle = context.strokeStyle;
    context.fillText(text, left + 4, top + FONT + 1);
  }
}
