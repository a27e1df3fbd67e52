// Upload of a dataset: drop a file or folder, correct the few things that can be misread, watch the progress.
import { useRef, useState } from "preact/hooks";
import { post, Problem } from "../api";
import { chosenFiles, droppedFiles } from "../folder";
import { bytes, number } from "../format";
import { link, navigate } from "../router";
import type { Dataset } from "../types";
import { uploadForm } from "../upload";
import { Select } from "../ui/fields";
import { Card, ProblemNote, ProgressBar } from "../ui/parts";
import { type ReadChanges, ReadFields, readOptions } from "./reading";

const TABLE_FILE = /\.(csv|tsv|txt|parquet|arrow|feather|xlsx|xls|xlsb|ods|json|jsonl|ndjson)(\.(gz|bz2|xz|zst))?$/i;

const FOLDERS = { webkitdirectory: true }; // all browsers know it, the types do not

export function UploadPage() {
  const [files, setFiles] = useState<File[]>([]);
  const [packing, setPacking] = useState(false);
  const [name, setName] = useState("");
  const [target, setTarget] = useState("");
  const [read, setRead] = useState<ReadChanges>({});
  const [resize, setResize] = useState("");
  const [columns, setColumns] = useState<string[]>([]);
  const [share, setShare] = useState<number | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [over, setOver] = useState(false);
  const abort = useRef<AbortController | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const file = files[0];

  const choose = async (choice: Promise<File[]>) => {
    setProblem(null);
    setPacking(true);
    const chosen = await choice.catch((error) => { setProblem(error as Problem); return []; });
    setPacking(false);
    if (!chosen[0]) return;
    setFiles(chosen);
    setName(chosen[0].name.replace(/(\.\w{1,7}){1,2}$/, ""));
    setTarget("");
    void columnsOf(chosen[0]).then(setColumns);
  };

  const isTable = file !== undefined && TABLE_FILE.test(file.name);

  const upload = async (event: Event) => {
    event.preventDefault();
    if (!file) return;
    const meta = {
      ...(name && { name }),
      ...(isTable && target && { target }),
      ...(isTable && Object.keys(read).length > 0 && { read: readOptions(read) }),
      ...(!isTable && resize && { resize }),
    };
    const form = new FormData();
    form.append("meta", JSON.stringify(meta));
    for (const each of files) form.append("file", each);
    abort.current = new AbortController();
    setProblem(null);
    setShare(0);
    try {
      const dataset = await uploadForm<Dataset>("/v1/datasets", form, setShare, abort.current.signal);
      navigate(link("datasets", dataset.id));
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setShare(null);
    }
  };

  const useExample = (builtin: string) =>
    post<Dataset>("/v1/datasets", { builtin }).then((dataset) => navigate(link("datasets", dataset.id)), setProblem);

  return (
    <>
      <header><h1>Upload data</h1></header>
      <form class="stack" onSubmit={upload}>
        <div
          class={`drop ${over ? "over" : ""}`}
          onDragOver={(event) => { event.preventDefault(); setOver(true); }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => { event.preventDefault(); setOver(false); if (event.dataTransfer) void choose(droppedFiles(event.dataTransfer)); }}
        >
          {packing ? <strong role="status">Reading the files …</strong> : file ? <strong>{files.map((each) => each.name).join(", ")} <span class="muted">({bytes(files.reduce((sum, each) => sum + each.size, 0))})</span></strong> : <strong>Drop a file or a folder here</strong>}
          <span class="muted">
            Images: a folder for each label, also as zip or tar, npz, idx or Parquet. Tables: CSV, Parquet, Arrow, Excel or JSON, also compressed.
          </span>
          <div class="row">
            <button type="button" class="button" onClick={() => input.current?.click()}>Choose a file</button>
            <button type="button" class="button" onClick={() => folder.current?.click()}>Choose a folder</button>
          </div>
          <input ref={input} type="file" multiple hidden aria-label="File" onChange={(event) => choose(chosenFiles(event.currentTarget.files!))} />
          <input ref={folder} type="file" {...FOLDERS} hidden aria-label="Folder" onChange={(event) => choose(chosenFiles(event.currentTarget.files!))} />
        </div>
        {file && (
          <div class="grid">
            <label class="field">
              Name
              <input value={name} maxLength={100} onInput={(event) => setName(event.currentTarget.value)} />
              <small>Models trained on the dataset get this name.</small>
            </label>
            {isTable && (
              <label class="field">
                Target column
                <input value={target} placeholder="optional" list="columns" onInput={(event) => setTarget(event.currentTarget.value)} />
                <datalist id="columns">{columns.map((column) => <option key={column} value={column} />)}</datalist>
                <small>Samples can be requested by the values of this column.</small>
              </label>
            )}
            {!isTable && (
              <Select label="Images of different shapes" value={resize} options={[["", "reject them"], ["crop", "crop to the shape"], ["pad", "pad to the shape"], ["stretch", "stretch to the shape"]]} onChange={setResize} />
            )}
          </div>
        )}
        {isTable && (
          <details class="card">
            <summary>Reading options</summary>
            <p class="muted small">Empty fields are inferred from the file. They can be corrected after the upload, too.</p>
            <ReadFields changes={read} problem={problem} pointer="meta/read" onChange={setRead} />
          </details>
        )}
        {problem && <ProblemNote problem={problem} />}
        {share !== null && (
          <Card>
            <span>{share < 1 ? `Uploading, ${number(share * 100)} %` : "Reading and checking the file"}</span>
            <ProgressBar percent={share * 100} label="Upload" />
            <div><button type="button" class="button danger" onClick={() => abort.current?.abort()}>Cancel</button></div>
          </Card>
        )}
        <div class="row">
          <button class="button primary" disabled={!file || packing || share !== null}>Upload</button>
          <button type="button" class="button" onClick={() => useExample("digits")}>Use the example “digits”</button>
        </div>
      </form>
    </>
  );
}

const HEAD_BYTES = 64 * 1024;

/** Return the names in the first line of a delimited text file, as suggestions; [] for other files. */
async function columnsOf(file: File): Promise<string[]> {
  if (!/\.(csv|tsv|txt)$/i.test(file.name)) return [];
  const [line = ""] = (await file.slice(0, HEAD_BYTES).text()).split(/\r?\n/, 1);
  const fields = [",", ";", "\t", "|"].map((delimiter) => line.split(delimiter));
  const longest = fields.reduce((a, b) => (b.length > a.length ? b : a));
  return longest.map((name) => name.trim().replace(/^"(.*)"$/, "$1")).filter(Boolean);
}
