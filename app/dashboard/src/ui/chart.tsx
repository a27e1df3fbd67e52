// Curves over training steps, drawn by uPlot.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
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

export function Chart({ title, curves }: { title: string; curves: Curve[] }) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = curves.map((curve) => curve.label).join("\n");

  useEffect(() => {
    const host = element.current!;
    const axis = { stroke: colorOf(host, "--muted"), grid: { stroke: colorOf(host, "--line"), width: 1 }, ticks: { show: false } };
    plot.current = new uPlot(
      {
        width: host.clientWidth,
        height: HEIGHT,
        scales: { x: { time: false } },
        axes: [axis, { ...axis, size: 56 }],
        legend: { live: true },
        series: [
          { label: "Step" },
          ...names.split("\n").map((label, index) => ({
            label,
            stroke: colorOf(host, STROKES[index % STROKES.length]!),
            dash: DASHES[index % DASHES.length]!,
            width: 2,
            spanGaps: true,
          })),
        ],
      },
      align(curves),
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

  useEffect(() => plot.current?.setData(align(curves)), [curves]);

  const last = curves.map((curve) => `${curve.label} ${curve.values.at(-1)?.toPrecision(3) ?? "unknown"}`).join(", ");
  return (
    <figure class="stack" aria-label={`${title}: latest values ${last}`}>
      <figcaption><h3>{title}</h3></figcaption>
      <div ref={element} class="chart" />
    </figure>
  );
}

/** Return the value of a color token in the current theme, as a canvas understands it. */
function colorOf(element: HTMLElement, token: string): string {
  element.style.color = `var(${token})`;
  const color = getComputedStyle(element).color;
  element.style.color = "";
  return color;
}

function align(curves: Curve[]): uPlot.AlignedData {
  if (curves.length === 0) return [[]];
  return uPlot.join(curves.map((curve) => [curve.steps, curve.values] as uPlot.AlignedData));
}
