// How fast to play. What a break has cost, or has eaten of the reserve, is made up a little faster or slower, unnoticed.

/** Off the mark by less is right: the list is read only now and then, and nobody knows better in between. */
const NEAR_S = 1;
const FAR_S = 2;
/** With less in reserve nothing is gained by going faster. */
const RESERVE_S = 2;

/** The rate for a picture `latency` seconds behind the newest chunk, where it should be `target`, with `ahead` loaded. */
export function rateFor({ latency, target, ahead }) {
  const off = latency - target;
  const by = Math.abs(off) > FAR_S ? 0.1 : 0.05;
  if (off > NEAR_S && ahead > RESERVE_S) return 1 + by;
  return off < -NEAR_S ? 1 - by : 1;
}
