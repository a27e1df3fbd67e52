// The schema of a table, changed in place: types, missing values, excluded columns, target.
import { useState } from "preact/hooks";
import { type Problem, put } from "../api";
import { number } from "../format";
import { useGet } from "../load";
import type { ColumnChange, DatasetSchema } from "../types";
import { Select } from "../ui/fields";
import { Card, Loading, ProblemNote } from "../ui/parts";

const TYPES = ["integer", "number", "category", "boolean", "datetime", "time", "duration", "id", "text"];
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
  const undo = () => { setChanges({}); setTarget(null); setProblem(null); };
  const save = async (event: Event) => {
    event.preventDefault();
    setSaving(true);
    const columns = Object.entries(changes).map(([name, change]) => ({ name, ...change }));
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
        <p class="muted small">Change what was misread. Models that exist keep the schema that they were trained with.</p>
        <div class="filters">
          <Select label="Target column" value={target ?? schema.target ?? ""} options={[["", "none"], ...schema.columns.map(({ name }) => [name, name] as [string, string])]} onChange={setTarget} />
        </div>
        <div class="scroll tall" tabIndex={0} role="region" aria-label="Schema">
          <table>
            <thead><tr><th>Column</th><th>Type</th><th>Format</th><th>May be missing</th><th>Left out</th></tr></thead>
            <tbody>
              {schema.columns.slice(0, SHOWN).map((column) => {
                const now = { ...column, ...changes[column.name] };
                return (
                  <tr key={column.name}>
                    <th scope="row" class="column-name" title={column.name}>{column.name}</th>
                    <td>
                      <select class="compact" aria-label={`Type of ${column.name}`} value={now.type ?? ""} onChange={(event) => set(column.name, { type: event.currentTarget.value as ColumnChange["type"] })}>
                        {TYPES.map((type) => <option key={type} value={type} selected={type === now.type}>{type}</option>)}
                      </select>
                    </td>
                    <td><input class="compact" aria-label={`Format of ${column.name}`} value={now.format ?? ""} placeholder="plain" onInput={(event) => set(column.name, { format: event.currentTarget.value })} /></td>
                    <td><input type="checkbox" aria-label={`${column.name} may be missing`} checked={now.nullable ?? false} onChange={(event) => set(column.name, { nullable: event.currentTarget.checked })} /></td>
                    <td><input type="checkbox" aria-label={`Leave out ${column.name}`} checked={now.exclude ?? false} onChange={(event) => set(column.name, { exclude: event.currentTarget.checked })} /></td>
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
          {changed > 0 && <button type="button" class="button plain" onClick={undo}>Undo {number(changed)} {changed === 1 ? "change" : "changes"}</button>}
        </div>
      </form>
    </Card>
  );
}
