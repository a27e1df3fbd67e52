// Small bar charts of a column's values.
import { number } from "../format";

export function Histogram({ counts, from, to, label }: { counts: number[]; from: string; to: string; label: string }) {
  const largest = Math.max(1, ...counts);
  const width = 100 / counts.length;
  return (
    <figure class="histogram">
      <svg viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
        {counts.map((count, index) => (
          <rect key={index} x={index * width + 0.3} width={width - 0.6} y={32 - (count / largest) * 32} height={(count / largest) * 32} />
        ))}
      </svg>
      <figcaption class="small muted"><span>{from}</span><span>{to}</span></figcaption>
    </figure>
  );
}

export function Shares({ values, total }: { values: { value: string; count: number }[]; total: number }) {
  return (
    <ul class="shares small">
      {values.slice(0, 5).map(({ value, count }) => (
        <li key={value}>
          <span class="name" title={value}>{value}</span>
          <span class="bar" aria-hidden="true"><span style={{ width: `${(100 * count) / total}%` }} /></span>
          <span class="muted">{number((100 * count) / total, 1)} %</span>
        </li>
      ))}
    </ul>
  );
}
