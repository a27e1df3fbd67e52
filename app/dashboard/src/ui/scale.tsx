// A score on a line between the naive baseline and real data; further right is better.
import { score as digits } from "../format";
import type { Score } from "../types";

const WIDTH = 200;
const EDGE = 8;

/** Return how good a value is, on a scale where more is better. */
function goodness(value: number, score: Score): number {
  if (score.direction === "lower") return -value;
  return score.direction === "target" ? -Math.abs(value - (score.target ?? 0)) : value;
}

export function Scale({ score }: { score: Score }) {
  const ends = score.ci95.map((end) => goodness(end, score));
  const target = score.target ?? null;
  if (target !== null && score.ci95[0]! < target && target < score.ci95[1]!) ends.push(0);
  const known = [score.naive_baseline, score.real_reference].filter((value) => value !== null && value !== undefined);
  const all = [...ends, goodness(score.value, score), ...known.map((value) => goodness(value, score))];
  const [from, to] = [Math.min(...all), Math.max(...all)];
  const x = (value: number) => EDGE + (to > from ? (goodness(value, score) - from) / (to - from) : 0.5) * (WIDTH - 2 * EDGE);
  const at = (place: number) => EDGE + (to > from ? (place - from) / (to - from) : 0.5) * (WIDTH - 2 * EDGE);
  const text = [`model ${digits(score.value)}`, score.naive_baseline != null && `naive ${digits(score.naive_baseline)}`, score.real_reference != null && `real ${digits(score.real_reference)}`];
  return (
    <svg class="scale" viewBox={`0 0 ${WIDTH} 20`} role="img" aria-label={text.filter(Boolean).join(", ")}>
      <line class="axis" x1={EDGE} x2={WIDTH - EDGE} y1="10" y2="10" />
      <line class="interval" x1={at(Math.min(...ends))} x2={at(Math.max(...ends))} y1="10" y2="10" />
      {score.naive_baseline != null && <rect class="naive" x={x(score.naive_baseline) - 4} y="6" width="8" height="8" />}
      {score.real_reference != null && <line class="real" x1={x(score.real_reference)} x2={x(score.real_reference)} y1="2" y2="18" />}
      <circle class="model" cx={x(score.value)} cy="10" r="5" />
    </svg>
  );
}

export function ScaleLegend() {
  return (
    <div class="row small muted" aria-hidden="true">
      <span class="row"><svg class="scale key" viewBox="0 0 20 20"><line class="interval" x1="1" x2="19" y1="10" y2="10" /><circle class="model" cx="10" cy="10" r="5" /></svg>this model, 95 % interval</span>
      <span class="row"><svg class="scale key" viewBox="0 0 20 20"><rect class="naive" x="6" y="6" width="8" height="8" /></svg>naive method</span>
      <span class="row"><svg class="scale key" viewBox="0 0 20 20"><line class="real" x1="10" x2="10" y1="2" y2="18" /></svg>real data</span>
      <span>Further right is better.</span>
    </div>
  );
}
