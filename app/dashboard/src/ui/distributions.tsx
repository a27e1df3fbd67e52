// Real data and samples: bars of two distributions, points in two dimensions, associations.
import { number, score } from "../format";
import type { Associations, HistogramPair, Scatter as ScatterData } from "../types";

export function PairLegend() {
  return (
    <div class="row small muted" aria-hidden="true">
      <span class="row"><span class="swatch real" />unseen real data</span>
      <span class="row"><span class="swatch synthetic" />samples</span>
    </div>
  );
}

interface PairHistogramProps {
  histogram: HistogramPair;
  label: string;
  /** Text of an edge. */
  text?: (edge: number | undefined) => string;
}

export function PairHistogram({ histogram, label, text = score }: PairHistogramProps) {
  const { real, synthetic, edges } = histogram;
  const largest = Math.max(1e-9, ...real, ...synthetic);
  const width = 100 / real.length;
  const line = synthetic.map((share, index) => `${index ? "L" : "M"}${index * width} ${32 - (share / largest) * 32}h${width}`).join("");
  return (
    <figure class="histogram pair">
      <svg viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
        {real.map((share, index) => <rect key={index} x={index * width} width={width} y={32 - (share / largest) * 32} height={(share / largest) * 32} />)}
        <path d={line} vector-effect="non-scaling-stroke" />
      </svg>
      <figcaption class="small muted"><span>{text(edges[0])}</span><span>{text(edges.at(-1))}</span></figcaption>
    </figure>
  );
}

const SHOWN = 6;

/** Shares of the most frequent values, real above samples. */
export function PairShares({ real, synthetic }: { real: Record<string, number>; synthetic: Record<string, number> }) {
  const names = Object.keys(real).sort((a, b) => real[b]! - real[a]!);
  return (
    <ul class="shares pairs small">
      {names.slice(0, SHOWN).map((name) => (
        <li key={name}>
          <span class="name" title={name}>{name}</span>
          <span class="stack" aria-hidden="true">
            <span class="bar real"><span style={{ width: `${100 * real[name]!}%` }} /></span>
            <span class="bar"><span style={{ width: `${100 * (synthetic[name] ?? 0)}%` }} /></span>
          </span>
          <span class="muted">{number(100 * real[name]!)} / {number(100 * (synthetic[name] ?? 0))} %</span>
        </li>
      ))}
      {names.length > SHOWN && <li class="muted">and {names.length - SHOWN} more</li>}
    </ul>
  );
}

export function Scatter({ data }: { data: ScatterData }) {
  const points = [...data.real, ...data.synthetic];
  const bounds = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]!);
    return [Math.min(...values), Math.max(...values)] as const;
  });
  const place = (point: number[], axis: number) => {
    const [from, to] = bounds[axis]!;
    return 2 + (96 * (point[axis]! - from)) / (to - from || 1);
  };
  const dots = (list: number[][], kind: string) => list.map((point, index) => <circle key={index} class={kind} cx={place(point, 0)} cy={100 - place(point, 1)} r="0.9" />);
  return (
    <svg class="scatter" viewBox="0 0 100 100" role="img" aria-label="Real items and samples in two dimensions">
      {dots(data.real, "real")}
      {dots(data.synthetic, "synthetic")}
    </svg>
  );
}

export function AssociationMap({ data, kind }: { data: Associations; kind: "real" | "synthetic" }) {
  const size = data.columns.length;
  return (
    <figure class="stack">
      <figcaption class="small muted">{kind === "real" ? "real" : "samples"}</figcaption>
      <svg class="associations" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={`Associations between columns in ${kind === "real" ? "real rows" : "samples"}`}>
        {data[kind].flatMap((row, y) =>
          row.map((value, x) => (
            <rect key={`${x} ${y}`} x={x} y={y} width="1" height="1" fill-opacity={Math.min(1, Math.abs(value ?? 0))}>
              <title>{`${data.columns[y]} and ${data.columns[x]}: ${score(value)}`}</title>
            </rect>
          )),
        )}
      </svg>
    </figure>
  );
}
