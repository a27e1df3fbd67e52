// The schema of a table, changed in place: types, identifiers, missing values, excluded columns, target.
import { useState } from "preact/hooks";
import { type Problem, put } from "../api";
import { number } from "../format";
import { useGet } from "../load";
import type { ColumnChange, DatasetSchema } from "../types";
import { Select } from "../ui/fields";
import { Card, Loading, ProblemNote } from "../ui/parts";

const TYPES = ["integer", "number", "category", "boolean", "datetime", "time", "duration", "id", "text"];
type Treatment = NonNullable<ColumnChange["identifier"]>;
const TREATMENTS: [Treatment | "", string][] = [["", "unchanged"], ["regenerate", "new values"], ["drop", "leave out"], ["keep", "keep values"]];
const SHOWN = 100;

type Changes = Record<string, Omit<ColumnChange, "name">>;

export function Schema({ id, onChange }: { id: string; onChange: () => void }) {
  const { value: schema, error, reload } = useGet<DatasetSchema>(`/v1/datasets/${id}/schema`);
  const [changes, setChanges] = useState<Changes>({});
  const [target, setTarget] = useState<string | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [saving, setSaving] = useState(false);
  if (error) return <ProblemNote problem={error} onRetry={reload} />;
  if (!schema) return <Loading rows={6} />;

  const set = (name: string, change: Omit<ColumnChange, "name">) => {
    setProblem(null);
    setChanges((old) => ({ ...old, [name]: { ...old[name], ...change } }));
  };
  // The treatment decides the type and whether the column is left out.
  const treat = (name: string, identifier: Treatment | "") => {
    setProblem(null);
    setChanges((old) => ({ ...old, [name]: { ...without(old[name], "type", "exclude"), identifier: identifier || null } }));
  };
  const undo = () => { setChanges({}); setTarget(null); setProblem(null); };
  const save = async (event: Event) => {
    event.preventDefault();
    setSaving(true);
    // In the order of the table: a request that lists all columns also sets their order.
    const columns = schema.columns.filter(({ name }) => changes[name]).map(({ name }) => ({ name, ...changes[name] }));
    try {
      await put(`/v1/datasets/${id}/schema`, { columns, ...(target !== null && { target: target || null }) });
      undo();
      reload();
      onChange();
    } catch (failure) {
      setProblem(failure as Problem);
    }
    setSaving(false);
  };
  const changed = Object.keys(changes).length + (target === null ? 0 : 1);
  return (
    <Card title="Schema">
      <form class="stack" onSubmit={save}>
        <p class="muted small">Change what was misread. Identifiers can get new values of the same form, be left out, or keep the values of the data. Models that exist keep the schema that they were trained with.</p>
        <div class="filters">
          <Select label="Target column" value={target ?? schema.target ?? ""} options={[["", "none"], ...schema.columns.map(({ name }) => [name, name] as [string, string])]} onChange={setTarget} />
        </div>
        <div class="scroll tall" tabIndex={0} role="region" aria-label="Schema">
          <table>
            <thead><tr><th>Column</th><th>Type</th><th>Format</th><th>Identifiers</th><th>May be missing</th><th>Word if missing</th><th>Left out</th></tr></thead>
            <tbody>
              {schema.columns.slice(0, SHOWN).map((column) => {
                const now = { ...column, ...changes[column.name] };
                return (
                  <tr key={column.name}>
                    <th scope="row" class="column-name" title={column.name}>{column.name}</th>
                    <td>
                      <select class="compact" aria-label={`Type of ${column.name}`} value={now.type ?? ""} onChange={(event) => set(column.name, { type: event.currentTarget.value as ColumnChange["type"], identifier: null })}>
                        {TYPES.map((type) => <option key={type} value={type} selected={type === now.type}>{type}</option>)}
                      </select>
                    </td>
                    <td><input class="compact" aria-label={`Format of ${column.name}`} value={now.format ?? ""} placeholder="plain" onInput={(event) => set(column.name, { format: event.currentTarget.value })} /></td>
                    <td>
                      <select class="compact" aria-label={`Identifiers in ${column.name}`} value={now.identifier ?? ""} onChange={(event) => treat(column.name, event.currentTarget.value as Treatment | "")}>
                        {TREATMENTS.map(([value, text]) => <option key={value} value={value} selected={value === (now.identifier ?? "")}>{text}</option>)}
                      </select>
                    </td>
                    <td><input type="checkbox" aria-label={`${column.name} may be missing`} checked={now.nullable ?? false} onChange={(event) => set(column.name, { nullable: event.currentTarget.checked })} /></td>
                    <td><input class="compact" aria-label={`Word for missing values of ${column.name}`} value={now.missing ?? ""} placeholder="empty" maxLength={64} onInput={(event) => set(column.name, { missing: event.currentTarget.value || null })} /></td>
                    <td><input type="checkbox" aria-label={`Leave out ${column.name}`} checked={now.exclude ?? false} onChange={(event) => set(column.name, { exclude: event.currentTarget.checked, identifier: null })} /></td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
        {schema.columns.length > SHOWN && <small class="muted">The first {SHOWN} of {number(schema.columns.length)} columns; the REST API changes all.</small>}
        {problem && <ProblemNote problem={problem} />}
        <div class="row">
          <button class="button primary" disabled={changed === 0 || saving}>Save the schema</button>
          {changed > 0 && <button type="button" class="button" onClick={undo}>Undo {number(changed)} {changed === 1 ? "change" : "changes"}</button>}
        </div>
      </form>
    </Card>
  );
}

const without = (change: Omit<ColumnChange, "name"> = {}, ...names: (keyof ColumnChange)[]) =>
  Object.fromEntries(Object.entries(change).filter(([name]) => !names.includes(name as keyof ColumnChange)));
