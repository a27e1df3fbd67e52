// Rows of a table, as they are in the data.

export type Row = Record<string, unknown>;

export function RowTable({ rows, label }: { rows: Row[]; label: string }) {
  const columns = rows[0] ? Object.keys(rows[0]) : [];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="rows">
        <thead><tr>{columns.map((name) => <th key={name}>{name}</th>)}</tr></thead>
        <tbody>{rows.map((row, index) => <tr key={index}>{columns.map((name) => <td key={name}>{cell(row[name])}</td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

const cell = (value: unknown) => (value === null || value === undefined ? <span class="muted">missing</span> : String(value));
