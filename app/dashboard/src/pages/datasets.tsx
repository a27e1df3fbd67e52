// The list of datasets.
import { useState } from "preact/hooks";
import { type Problem, remove } from "../api";
import { bytes, dataKind, number } from "../format";
import { usePages } from "../load";
import { link } from "../router";
import type { Dataset, Upload } from "../types";
import { confirmed } from "../ui/dialog";
import { ListTable } from "../ui/list_table";
import { Card, Empty, Loading, ProblemNote, ProgressBar, StateBadge, Time } from "../ui/parts";

export function DatasetsPage() {
  const { items, error, next, more, reload } = usePages<Dataset>("/v1/datasets", { limit: 50 }, 5000);
  return (
    <>
      <header>
        <h1>Datasets</h1>
        <a class="button primary" href={link("datasets", "new")}>Upload data</a>
      </header>
      {error && <ProblemNote problem={error} onRetry={reload} />}
      {!items && !error && <Loading rows={6} />}
      {items?.length === 0 && (
        <Empty title="No datasets yet">
          <p>Upload labeled images (a zip of class folders, for example) or a table (CSV, Parquet, Excel).</p>
          <a class="button primary" href={link("datasets", "new")}>Upload data</a>
        </Empty>
      )}
      {items && items.length > 0 && (
        <section class="card">
          <ListTable label="Datasets">
            <thead><tr><th>Dataset</th><th>Kind of data</th><th>State</th><th class="number">Items</th><th class="number">Labels</th><th class="number">Size</th><th>Created</th></tr></thead>
            <tbody>
              {items.map((dataset) => (
                <tr key={dataset.id}>
                  <td class="title"><a href={link("datasets", dataset.id)}>{dataset.name}</a></td>
                  <td>{dataKind(dataset.modality)}</td>
                  <td><StateBadge state={dataset.state} /></td>
                  <td class="number">{number(dataset.train_items)}</td>
                  <td class="number">{number(dataset.labels?.length)}</td>
                  <td class="number">{bytes(dataset.bytes)}</td>
                  <td class="nowrap"><Time at={dataset.created_at} /></td>
                </tr>
              ))}
            </tbody>
          </ListTable>
        </section>
      )}
      {next && <div><button type="button" class="button" onClick={more}>Show more</button></div>}
      <Uploads />
    </>
  );
}

/** Uploads in parts that are not datasets yet; nothing if there are none. */
function Uploads() {
  const { items, next, more, reload } = usePages<Upload>("/v1/uploads", { limit: 20 }, 5000);
  const [problem, setProblem] = useState<Problem | null>(null);
  if (!items || items.length === 0) return null;
  const cancel = async (upload: Upload) => {
    const isSure = await confirmed({ title: `Delete the upload of ${upload.filename}?`, text: "The parts that were received are deleted.", action: "Delete", isDangerous: true });
    if (isSure) await remove(`/v1/uploads/${upload.id}`).then(reload, setProblem);
  };
  return (
    <Card title="Unfinished uploads">
      <p class="muted small">Files that a program sends in parts. They become datasets when it names them in a new dataset.</p>
      {problem && <ProblemNote problem={problem} />}
      <ListTable label="Unfinished uploads">
        <thead><tr><th>File</th><th>Received</th><th>Started</th><th><span class="hidden">Actions</span></th></tr></thead>
        <tbody>
          {items.map((upload) => (
            <tr key={upload.id}>
              <td class="title">{upload.filename}</td>
              <td class="progress"><Received upload={upload} /></td>
              <td class="nowrap"><Time at={upload.created_at} /></td>
              <td><button type="button" class="button small danger" aria-label={`Delete the upload of ${upload.filename}`} onClick={() => cancel(upload)}>Delete</button></td>
            </tr>
          ))}
        </tbody>
      </ListTable>
      {next && <div><button type="button" class="button" onClick={more}>Show more</button></div>}
    </Card>
  );
}

function Received({ upload }: { upload: Upload }) {
  const received = upload.parts.reduce((sum, part) => sum + part.bytes, 0);
  if (upload.state === "completed") return <span>all {bytes(received)}</span>;
  if (!upload.bytes) return <span>{bytes(received)}</span>;
  return (
    <span class="row">
      <ProgressBar percent={(100 * received) / upload.bytes} label={`Received of ${upload.filename}`} />
      {bytes(received)} of {bytes(upload.bytes)}
    </span>
  );
}
