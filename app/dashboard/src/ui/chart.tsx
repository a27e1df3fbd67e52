// Curves over training steps, drawn by uPlot. The legend shows the last values, or those below the pointer.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { number, score } from "../format";
import { systemTheme, theme } from "../theme";

export interface Curve {
  label: string;
  steps: number[];
  values: (number | null)[];
}

const HEIGHT = 220;
// Told apart by dashes as well as by color.
const STROKES = ["--accent", "--warn", "--bad", "--good", "--muted"];
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 4]];
const colorName = (index: number) => STROKES[index % STROKES.length]!;
const dashOf = (index: number) => DASHES[(index + Math.floor(index / STROKES.length)) % DASHES.length]!;

export function Chart({ title, curves }: { title: string; curves: Curve[] }) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const data = useMemo(() => align(curves), [curves]);
  const names = curves.map((curve) => curve.label).join("\n");

  useEffect(() => {
    const host = element.current!;
    const axis = { stroke: colorOf(host, "--muted"), grid: { stroke: colorOf(host, "--line"), width: 1 }, ticks: { show: false } };
    plot.current = new uPlot(
      {
        width: host.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false } },
        axes: [{ ...axis, size: 32 }, { ...axis, size: 56 }],
        legend: { show: false },
        hooks: { setCursor: [(drawn) => setPointed(drawn.cursor.idx ?? null)] },
        series: [
          {},
          ...names.split("\n").map((label, index) => ({ label, stroke: colorOf(host, colorName(index)), dash: dashOf(index), width: lineWidth(data[0].length, host.clientWidth), spanGaps: true })),
        ],
      },
      data,
      host,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: host.clientWidth, height: HEIGHT }));
    resize.observe(host);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, theme.value, systemTheme.value]);

  useEffect(() => {
    if (!plot.current) return;
    const width = lineWidth(data[0].length, plot.current.width);
    for (const series of plot.current.series) series.width = width;
    plot.current.setData(data);
  }, [data]);

  const steps = data[0];
  const at = pointed !== null && pointed < steps.length ? pointed : null;
  return (
    <figure class="stack" aria-label={title}>
      <figcaption class="row">
        <h3>{title}</h3>
        <small class="muted">{steps.length > 0 && `step ${number(steps[at ?? steps.length - 1])}`}</small>
      </figcaption>
      <div ref={element} class="chart" aria-hidden="true" />
      <ul class="legend small">
        {curves.map((curve, index) => (
          <li key={curve.label}>
            <svg viewBox="0 0 28 4" aria-hidden="true"><line x1="0" x2="28" y1="2" y2="2" stroke-dasharray={dashOf(index).join(" ")} style={{ stroke: `var(${colorName(index)})` }} /></svg>
            <span>{curve.label}</span>
            <strong>{score(at === null ? lastOf(curve.values) : data[index + 1]?.[at])}</strong>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** Browsers draw lines of one pixel in half the time, and dense curves are easier to read so. */
const lineWidth = (points: number, pixels: number) => (points > pixels ? 1 : 2);

const lastOf = (values: (number | null)[]) => values.findLast((value) => value !== null);

/** Return the value of a color token in the current theme, as a canvas understands it. */
function colorOf(element: HTMLElement, token: string): string {
  element.style.color = `var(${token})`;
  const color = getComputedStyle(element).color;
  element.style.color = "";
  return color;
}

function align(curves: Curve[]): uPlot.AlignedData {
  const steps = curves[0]?.steps;
  if (!steps) return [[]];
  // Most curves of a job have the same steps; joining them would take longer than drawing them.
  if (curves.every((curve) => isEqual(curve.steps, steps))) return [steps, ...curves.map((curve) => curve.values)];
  return uPlot.join(curves.map((curve) => [curve.steps, curve.values] as uPlot.AlignedData));
}

const isEqual = (a: number[], b: number[]) => a === b || (a.length === b.length && a.every((step, index) => step === b[index]));
