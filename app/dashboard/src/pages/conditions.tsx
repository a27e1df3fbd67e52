// Conditions on columns: all must hold for every row.
import type { ColumnOption } from "../types";
import { Field, Input, Select, typed } from "../ui/fields";

export interface Condition {
  column: string;
  /** `is`: one of the chosen values; `range`: from `low` to `high`, both optional; `missing`. */
  kind: "is" | "range" | "missing";
  values: string[];
  low: string;
  high: string;
}

const NUMERIC = new Set(["integer", "number"]);
const ORDERED = new Set(["integer", "number", "datetime", "time", "duration"]);
const KINDS: [string, string][] = [["is", "is"], ["range", "is between"], ["missing", "is missing"]];

/** Return `where` of a request; null without conditions. */
export function whereOf(conditions: Condition[]): Record<string, unknown> | null {
  const where: Record<string, unknown> = {};
  for (const { column, kind, values, low, high } of conditions) {
    if (kind === "missing") where[column] = null;
    else if (kind === "is" && values.length > 0) where[column] = values.length === 1 ? valueOf(values[0]!) : values.map(valueOf);
    else if (kind === "range" && (low || high)) where[column] = { ...(low && { gte: typed(low) }), ...(high && { lte: typed(high) }) };
  }
  return Object.keys(where).length > 0 ? where : null;
}

// Values of categories are texts; `=` marks a number that the reader typed.
const valueOf = (text: string) => (text.startsWith("=") ? typed(text.slice(1)) : text);

interface Props {
  columns: ColumnOption[];
  value: Condition[];
  /** Which rows there are without conditions. */
  hint: string;
  onChange: (conditions: Condition[]) => void;
}

export function Conditions({ columns, value, hint, onChange }: Props) {
  const free = columns.filter((column) => !value.some((condition) => condition.column === column.name));
  const add = () => {
    const column = free[0]!;
    onChange([...value, { column: column.name, kind: ORDERED.has(column.type) ? "range" : "is", values: [], low: "", high: "" }]);
  };
  const set = (index: number, changes: Partial<Condition>) => onChange(value.map((condition, at) => (at === index ? { ...condition, ...changes } : condition)));
  return (
    <fieldset class="plain">
      <legend>Conditions</legend>
      {value.length === 0 && <small class="muted">{hint}</small>}
      {value.map((condition, index) => {
        const column = columns.find((other) => other.name === condition.column);
        if (!column) return null;
        const names = [column.name, ...free.map((other) => other.name)];
        const kinds = KINDS.filter(([kind]) => (kind !== "range" || ORDERED.has(column.type)) && (kind !== "missing" || column.nullable));
        return (
          <div key={condition.column} class="condition">
            <div class="grid pairs">
              <Select label="Column" value={column.name} options={names} onChange={(name) => {
                const next = columns.find((other) => other.name === name)!;
                set(index, { column: name, kind: ORDERED.has(next.type) ? "range" : "is", values: [], low: "", high: "" });
              }} />
              <Select label="Condition" value={condition.kind} options={kinds} onChange={(kind) => set(index, { kind: kind as Condition["kind"] })} />
            </div>
            {condition.kind === "range" && (
              <div class="grid pairs">
                <Input label="From" value={condition.low} placeholder={String(column.min ?? "")} onChange={(low) => set(index, { low })} />
                <Input label="To" value={condition.high} placeholder={String(column.max ?? "")} onChange={(high) => set(index, { high })} />
              </div>
            )}
            {condition.kind === "is" && <Values column={column} condition={condition} onChange={(values) => set(index, { values })} />}
            <div><button type="button" class="button small" onClick={() => onChange(value.filter((_, at) => at !== index))}>Remove the condition on {column.name}</button></div>
          </div>
        );
      })}
      {free.length > 0 && <div><button type="button" class="button" onClick={add}>Add a condition</button></div>}
    </fieldset>
  );
}

function Values({ column, condition, onChange }: { column: ColumnOption; condition: Condition; onChange: (values: string[]) => void }) {
  if (!column.values) {
    const mark = NUMERIC.has(column.type) ? "=" : "";
    return <Input label="Value" value={condition.values[0]?.replace(/^=/, "") ?? ""} onChange={(text) => onChange(text ? [mark + text] : [])} />;
  }
  return (
    <Field label="Values" hint="Hold Ctrl or ⌘ to choose several.">
      <select multiple size={Math.min(6, column.values.length)} onChange={(event) => onChange([...event.currentTarget.selectedOptions].map((option) => option.value))}>
        {column.values.map((name) => <option key={name} value={name} selected={condition.values.includes(name)}>{name}</option>)}
      </select>
    </Field>
  );
}
