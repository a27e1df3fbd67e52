// The list of datasets.
import { bytes, number } from "../format";
import { usePages } from "../load";
import { link } from "../router";
import type { Dataset } from "../types";
import { ListTable } from "../ui/list_table";
import { Empty, Loading, ProblemNote, StateBadge, Time } from "../ui/parts";

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
                  <td><a href={link("datasets", dataset.id)}>{dataset.name}</a></td>
                  <td>{dataset.modality}</td>
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
    </>
  );
}
