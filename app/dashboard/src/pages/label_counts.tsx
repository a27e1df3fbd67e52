// Numbers of samples by label; a search keeps a thousand labels usable.
import { useState } from "preact/hooks";
import { number } from "../format";
import { Input } from "../ui/fields";

interface Props {
  labels: string[];
  counts: Record<string, number>;
  onChange: (counts: Record<string, number>) => void;
}

const SHOWN = 40;

export function LabelCounts({ labels, counts, onChange }: Props) {
  const [search, setSearch] = useState("");
  const [each, setEach] = useState("8");
  const found = labels.filter((label) => label.toLowerCase().includes(search.toLowerCase()));
  // Labels that were chosen come first, unless all fit.
  const ordered = labels.length > SHOWN ? [...found].sort((a, b) => Number((counts[b] ?? 0) > 0) - Number((counts[a] ?? 0) > 0)) : found;
  const set = (label: string, text: string) => onChange({ ...counts, [label]: Math.max(0, Math.round(Number(text) || 0)) });
  const setAll = () => onChange({ ...counts, ...Object.fromEntries(found.map((label) => [label, Math.max(0, Math.round(Number(each) || 0))])) });
  return (
    <fieldset class="plain">
      <legend>Number of images by label</legend>
      {labels.length > SHOWN && <Input label="Find a label" value={search} onChange={setSearch} />}
      <div class="row bottom">
        <div class="grow"><Input label="The same for each" type="number" min={0} value={each} onChange={setEach} /></div>
        <button type="button" class="button" onClick={setAll}>Set {search ? "found labels" : "all labels"}</button>
      </div>
      <div class="counts tall">
        {ordered.slice(0, SHOWN).map((label) => (
          <label key={label} class="count">
            <span class="name" title={label}>{label}</span>
            <input type="number" min={0} value={counts[label] ?? 0} onInput={(event) => set(label, event.currentTarget.value)} />
          </label>
        ))}
      </div>
      {ordered.length > SHOWN && <small class="muted">{number(ordered.length - SHOWN)} more: type a part of the name.</small>}
      {found.length === 0 && <small class="muted">No label contains “{search}”.</small>}
    </fieldset>
  );
}
