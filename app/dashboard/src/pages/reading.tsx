// How the file of a table is read: what was inferred, and corrections without a new upload.
import { useState } from "preact/hooks";
import { patch, type Problem } from "../api";
import type { Dataset } from "../types";
import { Check, errorOf, Input } from "../ui/fields";
import { Card, ProblemNote } from "../ui/parts";

type Table = NonNullable<Dataset["table"]>;
type Option = keyof Table["read"];

const OPTIONS: [Option, string, string][] = [
  ["delimiter", "Delimiter", "Text between two fields"],
  ["quote", "Quotation mark", "Around a field"],
  ["escape", "Escape mark", "Before a quotation mark inside a field"],
  ["header", "Line of the names", "Its number, true for the first line, or false if there is none"],
  ["skip_lines", "Lines above the table", "Not read"],
  ["comment", "Comment mark", "Lines that begin with it are not read"],
  ["encoding", "Encoding", "For example utf-8 or cp1252"],
  ["decimal", "Decimal mark", "Inferred for each column"],
  ["thousands", "Thousands mark", "Inferred for each column"],
  ["missing", "Words for missing values", "Separated by blanks, in addition to empty cells"],
  ["transpose", "Rows are columns", "true if the names are in the first column"],
  ["sheet", "Sheet", "Name or number, in a workbook"],
];
// Texts stay as they were typed: a blank can be a delimiter, and a sheet can be named 2024.
const VALUES: Partial<Record<Option, (text: string) => unknown>> = {
  header: (text) => (text === "true" ? true : text === "false" ? false : Number(text)),
  skip_lines: Number,
  transpose: (text) => text === "true",
  missing: (text) => text.split(/\s+/).filter(Boolean),
  sheet: (text) => (/^\d+$/.test(text) ? Number(text) : text),
};

/** Return an inferred value as text; tabs are written as \t. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return (Array.isArray(value) ? value.join(" ") : String(value)).replaceAll("\t", "\\t");
}

export type ReadChanges = Partial<Record<Option, string>>;

/** Return `read` of a request: the values of the options that the reader typed. */
export function readOptions(changes: ReadChanges): Record<string, unknown> {
  return Object.fromEntries((Object.keys(changes) as Option[]).map((name) => {
    const text = changes[name]!.replaceAll("\\t", "\t");
    return [name, VALUES[name]?.(text) ?? text];
  }));
}

interface FieldsProps {
  changes: ReadChanges;
  /** Values in effect, shown in empty fields. */
  inferred?: Partial<Table["read"]>;
  problem: Problem | null;
  /** Pointer of `read` in the request. */
  pointer: string;
  onChange: (changes: ReadChanges) => void;
}

export function ReadFields({ changes, inferred = {}, problem, pointer, onChange }: FieldsProps) {
  const set = (name: Option, text: string) => {
    const { [name]: _, ...others } = changes;
    onChange(text === "" ? others : { ...others, [name]: text });
  };
  return (
    <div class="grid narrow">
      {OPTIONS.map(([name, label, hint]) => (
        <Input key={name} label={label} hint={hint} value={changes[name] ?? ""} placeholder={textOf(inferred[name])} error={errorOf(problem, `${pointer}/${name}`)} onChange={(text) => set(name, text)} />
      ))}
    </div>
  );
}

export function Reading({ dataset, onChange }: { dataset: Dataset; onChange: () => void }) {
  const read = dataset.table!.read;
  const [changes, setChanges] = useState<ReadChanges>({});
  const [keepsSchema, setKeepsSchema] = useState(true);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const isChanged = Object.keys(changes).length > 0;

  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    const forgotten = keepsSchema ? {} : { schema: [], target: null, exclude_columns: [] };
    try {
      await patch(`/v1/datasets/${dataset.id}`, { read: readOptions(changes), ...forgotten });
      setChanges({});
      setProblem(null);
      onChange();
    } catch (failure) {
      setProblem(failure as Problem);
    }
    setBusy(false);
  };

  return (
    <Card title="How the file is read">
      <p class="muted small">Gray values were inferred. Type over those that are wrong: the uploaded file is read again.</p>
      <form class="stack" onSubmit={save}>
        <ReadFields changes={changes} inferred={read} problem={problem} pointer="read" onChange={setChanges} />
        <Check label="Keep the target column and the changes of the schema" checked={keepsSchema} onChange={setKeepsSchema} />
        {problem && <ProblemNote problem={problem} />}
        <div class="row">
          <button class="button primary" disabled={!isChanged || busy}>{busy ? "Reading" : "Read the file again"}</button>
          {isChanged && <button type="button" class="button" onClick={() => { setChanges({}); setProblem(null); }}>Undo</button>}
        </div>
      </form>
    </Card>
  );
}
