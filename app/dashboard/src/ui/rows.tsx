// Rows of a table, as they are in the data.

export type Row = Record<string, unknown>;

interface Props {
  rows: Row[];
  label: string;
  /** Column of the order, after `-` if it is descending. */
  sort?: string;
  onSort?: (sort: string | null) => void;
}

export function RowTable({ rows, label, sort = "", onSort }: Props) {
  const columns = rows[0] ? Object.keys(rows[0]) : [];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="rows">
        <thead><tr>{columns.map((name) => <Heading key={name} name={name} kind={kindOf(rows, name)} sort={sort} onSort={onSort} />)}</tr></thead>
        <tbody>{rows.map((row, index) => <tr key={index}>{columns.map((name) => <td key={name} class={kindOf(rows, name)}>{cell(row[name])}</td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function Heading({ name, kind, sort, onSort }: { name: string; kind: string; sort: string; onSort: Props["onSort"] }) {
  if (!onSort) return <th class={kind}>{name}</th>;
  const [order, next] = sort === name ? ["ascending", `-${name}`] as const : sort === `-${name}` ? ["descending", null] as const : ["none", name] as const;
  return (
    <th aria-sort={order} class={kind}>
      <button type="button" class="sort" onClick={() => onSort(next)}>{name}<span aria-hidden="true">{order === "ascending" ? " ↑" : order === "descending" ? " ↓" : ""}</span></button>
    </th>
  );
}

/** Numbers are aligned at their last digit. */
const kindOf = (rows: Row[], name: string) => (rows.some((row) => typeof row[name] === "number") ? "number" : "");

const cell = (value: unknown) => (value === null || value === undefined ? <span class="muted">missing</span> : String(value));
