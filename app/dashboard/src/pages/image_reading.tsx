// How the upload of images is read: source of the labels and use of its parts, corrected without a new upload.
import { useState } from "preact/hooks";
import { patch, type Problem } from "../api";
import { number } from "../format";
import type { Dataset } from "../types";
import { Select } from "../ui/fields";
import { Card, ProblemNote } from "../ui/parts";

type Layout = NonNullable<Dataset["layout"]>;

const USES: [string, string][] = [["", "unchanged"], ["train", "train on it"], ["test", "test only"], ["leave_out", "leave it out"]];

const RESIZING: [string, string][] = [["", "unchanged"], ["crop", "crop to the shape"], ["pad", "pad to the shape"], ["stretch", "stretch to the shape"]];

function sourceText({ labels_from, label_column, folder_level, labels, examples }: Layout["label_sources"][number]): string {
  const source = [labels_from?.replaceAll("_", " ") ?? "default", label_column, folder_level !== null && `level ${folder_level}`].filter(Boolean).join(", ");
  return `${source}: ${number(labels)} labels${examples.length > 0 ? `, such as ${examples.slice(0, 3).join(", ")}` : ""}`;
}

export function ImageReading({ dataset, onChange }: { dataset: Dataset; onChange: () => void }) {
  const { label_sources: sources, parts } = dataset.layout!;
  const [source, setSource] = useState("");
  const [resize, setResize] = useState("");
  const [uses, setUses] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const chosenUses = Object.entries(uses).filter(([, use]) => use !== "");
  const isChanged = source !== "" || resize !== "" || chosenUses.length > 0;

  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    const { labels_from, label_column, folder_level } = sources[Number(source)] ?? {};
    try {
      await patch(`/v1/datasets/${dataset.id}`, {
        ...(source !== "" && { labels_from, label_column, folder_level }),
        ...(resize !== "" && { resize }),
        ...(chosenUses.length > 0 && { parts: Object.fromEntries(chosenUses) }),
      });
      onChange();
    } catch (failure) {
      setProblem(failure as Problem);
    }
    setBusy(false);
  };

  return (
    <Card title="How the upload is read">
      <p class="muted small">If labels or parts were misread, the stored upload is read again with your choice.</p>
      <form class="stack" onSubmit={save}>
        <div class="grid">
          {sources.length > 1 && (
            <Select label="Source of the labels" value={source} options={[["", "unchanged"], ...sources.map((each, index) => [String(index), sourceText(each)] as [string, string])]} onChange={setSource} />
          )}
          {parts.length > 1 && parts.map((part) => (
            <Select key={part.name} label={`Part ${part.name}`} value={uses[part.name] ?? ""} options={USES} onChange={(use) => setUses({ ...uses, [part.name]: use })} />
          ))}
          <Select label="Images of other shapes" value={resize} options={RESIZING} onChange={setResize} />
        </div>
        {problem && <ProblemNote problem={problem} />}
        <div><button class="button primary" disabled={!isChanged || busy}>{busy ? "Reading" : "Read the upload again"}</button></div>
      </form>
    </Card>
  );
}
