// The benefit of synthetic items for a classifier, with intervals.
import { number, score } from "../format";
import type { AugmentationResult } from "../types";
import { Card, Message } from "../ui/parts";

const SETS: Record<string, string> = {
  real: "real items alone", oversampled: "repeated real items", transforms: "with changed real items", model: "with samples of the model", combined: "with both",
};
const WIDTH = 200;

export function Lift({ result }: { result: AugmentationResult }) {
  const { lift, recommendation } = result;
  if (!lift) return null;
  const rows = Object.keys(SETS).flatMap((name) => {
    const value = lift[name as "real"];
    return value === null || value === undefined ? [] : [{ name, value, interval: lift.ci95[name] ?? [value, value] }];
  });
  const ends = rows.flatMap(({ interval }) => interval);
  const [from, to] = [Math.min(...ends), Math.max(...ends)];
  const x = (value: number) => 6 + ((WIDTH - 12) * (value - from)) / (to - from || 1);
  return (
    <Card title="Benefit for a classifier">
      {recommendation && <p><strong>{recommendation.use ? `Use: ${SETS[recommendation.use] ?? recommendation.use}.` : "Use the real items alone."}</strong> <Message text={recommendation.reason.replaceAll(lift.metric, lift.metric.replaceAll("_", " "))} /></p>}
      <ul class="scores">
        {rows.map(({ name, value, interval }) => (
          <li key={name}>
            <div><span>{SETS[name]}</span><small class="muted">{number(lift.items[name])} items{lift.gain[name] ? `, gain ${score(lift.gain[name].value)} (${score(lift.gain[name].ci95[0])} to ${score(lift.gain[name].ci95[1])})` : ""}</small></div>
            <svg class="scale" viewBox={`0 0 ${WIDTH} 20`} role="img" aria-label={`${SETS[name]}: ${score(value)}, 95 % interval ${score(interval[0])} to ${score(interval[1])}`}>
              <line class="axis" x1="6" x2={WIDTH - 6} y1="10" y2="10" />
              <line class="interval" x1={x(interval[0]!)} x2={x(interval[1]!)} y1="10" y2="10" />
              <circle class="model" cx={x(value)} cy="10" r="5" />
            </svg>
            <span class="values"><strong>{score(value)}</strong></span>
          </li>
        ))}
      </ul>
      <small class="muted">{lift.metric.replaceAll("_", " ")} on {number(lift.holdout_items)} held-out real items, {number(lift.rounds)} classifiers of each set; lines are 95 % intervals.</small>
    </Card>
  );
}
