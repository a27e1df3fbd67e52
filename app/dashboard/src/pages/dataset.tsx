// One dataset: what was understood, what is odd, what it contains.
import { useState } from "preact/hooks";
import { patch, type Problem, remove } from "../api";
import { bytes, dataKind, number, relationText, score } from "../format";
import { useGet } from "../load";
import { link, navigate, route, setQuery } from "../router";
import type { ColumnOption, ColumnProfile, Dataset, DatasetIssue, DatasetProfile, DatasetRows } from "../types";
import { confirmed, entered } from "../ui/dialog";
import { Input } from "../ui/fields";
import { Histogram, Shares } from "../ui/histogram";
import { Badge, Card, Loading, Message, ProblemNote, ProblemPage, StateBadge, Time, type Tone } from "../ui/parts";
import { Pager } from "../ui/pager";
import { download } from "../ui/picture";
import { RowTable } from "../ui/rows";
import { type Condition, Conditions, whereOf } from "./conditions";
import { ImageReading } from "./image_reading";
import { Images } from "./images";
import { Reading } from "./reading";
import { Schema } from "./schema";

const SEVERITY_TONES: Record<string, Tone> = { error: "bad", high: "bad", warning: "warn", info: "" };
const ROWS = 25;

export function DatasetPage({ id }: { id: string }) {
  const [validating, setValidating] = useState(true);
  const { value: dataset, error, reload } = useGet<Dataset>(`/v1/datasets/${id}`, {}, validating ? 1500 : 0);
  if (validating && (dataset ? dataset.state !== "validating" : error?.status === 404)) setValidating(false);
  if (error && !dataset) return <ProblemPage title="Dataset" problem={error} onRetry={reload} />;
  if (!dataset) return <Loading rows={8} />;
  return (
    <>
      <Header dataset={dataset} onChange={reload} />
      {dataset.state === "validating" && <div class="note" role="status">The file is being read and checked. This page shows the result as soon as it is there.</div>}
      {dataset.error && (
        <div class="note bad" role="alert"><strong>{dataset.error.title}</strong><Message text={dataset.error.detail} /></div>
      )}
      {dataset.state === "ready" && <Content dataset={dataset} onChange={reload} />}
    </>
  );
}

function Header({ dataset, onChange }: { dataset: Dataset; onChange: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const rename = async () => {
    const name = await entered({ title: "Rename the dataset", action: "Rename", field: { label: "Name", value: dataset.name, maxLength: 100, required: true } });
    if (name) await patch(`/v1/datasets/${dataset.id}`, { name }).then(onChange, setProblem);
  };
  const drop = async () => {
    if (!(await confirmed({ title: `Delete the dataset “${dataset.name}”?`, text: "Models that were trained on it stay.", action: "Delete", isDangerous: true }))) return;
    await remove(`/v1/datasets/${dataset.id}`).then(() => navigate(link("datasets")), setProblem);
  };
  return (
    <>
      <header>
        <div class="stack">
          <h1>{dataset.name}</h1>
          <div class="row">
            <StateBadge state={dataset.state} />
            <span>{dataKind(dataset.modality)}</span>
            <small class="muted mono">{dataset.id}</small>
          </div>
        </div>
        <div class="row">
          <button type="button" class="button" onClick={rename}>Rename</button>
          <button type="button" class="button" onClick={drop}>Delete</button>
          {dataset.state === "ready" && dataset.labels && dataset.labels.length > 0 && <a class="button" href={link("datasets", dataset.id, "augment")}>Augment</a>}
          {dataset.state === "ready" && <a class="button primary" href={link("datasets", dataset.id, "train")}>Train a model</a>}
        </div>
      </header>
      {problem && <ProblemNote problem={problem} />}
    </>
  );
}

function Content({ dataset, onChange }: { dataset: Dataset; onChange: () => void }) {
  const version = `${dataset.ready_at} ${dataset.sha256} ${dataset.table?.target}`;
  return (
    <>
      <IssueList key={`issues ${version}`} id={dataset.id} />
      <div class="grid">
        <Facts dataset={dataset} />
        <Labels dataset={dataset} />
      </div>
      <Profile key={`profile ${version}`} id={dataset.id} />
      {dataset.image ? <Images key={version} dataset={dataset} /> : <Rows key={version} id={dataset.id} />}
      {dataset.table && <Schema key={`schema ${version}`} id={dataset.id} onChange={onChange} />}
      {dataset.table && dataset.table.read.encoding !== undefined && <Reading key={`reading ${version}`} dataset={dataset} onChange={onChange} />}
      {dataset.image && dataset.layout && <ImageReading key={`reading ${version}`} dataset={dataset} onChange={onChange} />}
    </>
  );
}

function IssueList({ id }: { id: string }) {
  const { value, error } = useGet<{ data: DatasetIssue[]; notes: string[] }>(`/v1/datasets/${id}/issues`);
  if (error) return <ProblemNote problem={error} />;
  if (!value) return null;
  if (value.data.length === 0 && value.notes.length === 0) return null;
  return (
    <Card title="What to know before training">
      <ul class="stack">
        {value.data.map((issue) => (
          <li key={issue.code} class="stack issue">
            <div class="row">
              <Badge tone={SEVERITY_TONES[issue.severity] ?? ""}>{issue.severity}</Badge>
              <strong>{issue.code.replaceAll("_", " ")}</strong>
              <span class="muted">{issue.count === 1 ? "once" : `${number(issue.count)} times`}</span>
            </div>
            <Message text={issue.hint} />
            {issue.examples.length > 0 && <small class="muted">For example: {issue.examples.slice(0, 5).join("; ")}</small>}
          </li>
        ))}
        {value.notes.map((note) => <li key={note} class="muted"><Message text={note} /></li>)}
      </ul>
    </Card>
  );
}

function Facts({ dataset }: { dataset: Dataset }) {
  const { image, table, layout } = dataset;
  return (
    <Card title="Contents" aside={<Exports dataset={dataset} />}>
      <dl class="facts">
        <dt>Items</dt><dd>{number(dataset.train_items)}{Boolean(dataset.test_items) && ` for training, ${number(dataset.test_items)} for tests`}</dd>
        {image && <><dt>Images</dt><dd>{image.width} × {image.height}, {image.channels === 1 ? "gray" : "color"}</dd></>}
        {layout && <><dt>Labels from</dt><dd>{layout.labels_from}</dd></>}
        {(layout?.parts.length ?? 0) > 1 && layout!.parts.map((part) => (
          <><dt>Part {part.name}</dt><dd>{number(part.train)} training, {number(part.test)} test{part.left_out ? `, ${number(part.left_out)} left out` : ""}</dd></>
        ))}
        {layout?.ignored.map((ignored) => (
          <><dt>Ignored</dt><dd>{number(ignored.files)} × {ignored.kind}, for example {ignored.example}</dd></>
        ))}
        {table && <><dt>Columns</dt><dd>{number(table.columns)}</dd></>}
        {table && <><dt>Target column</dt><dd>{table.target ?? "none"}</dd></>}
        <dt>Format</dt><dd>{dataset.format}, {bytes(dataset.bytes)}</dd>
        <dt>Created</dt><dd><Time at={dataset.created_at} /></dd>
      </dl>
    </Card>
  );
}

function Exports({ dataset }: { dataset: Dataset }) {
  const format = dataset.image ? "zip" : "csv";
  return (
    <button type="button" class="button small" onClick={() => download(`/v1/datasets/${dataset.id}/content?format=${format}`, `${dataset.name}.${format}`)}>
      Download
    </button>
  );
}

const LABELS_SHOWN = 100;

function Labels({ dataset }: { dataset: Dataset }) {
  const [search, setSearch] = useState("");
  const labels = dataset.labels;
  if (!labels || labels.length === 0) return null;
  const largest = Math.max(1, ...labels.map((label) => label.count));
  const matches = labels.filter((label) => label.name.toLowerCase().includes(search.toLowerCase()));
  return (
    <Card title={`Labels (${number(labels.length)})`}>
      {labels.length > LABELS_SHOWN && <Input label="Find a label" value={search} onChange={setSearch} />}
      <div class="scroll tall" tabIndex={0} role="region" aria-label="Labels">
        <ul class="shares">
          {matches.slice(0, LABELS_SHOWN).map((label) => (
            <li key={label.name}>
              <span class="name" title={label.name}>{label.name}</span>
              <span class="bar" aria-hidden="true"><span style={{ width: `${(100 * label.count) / largest}%` }} /></span>
              <span class="muted">{number(label.count)}</span>
            </li>
          ))}
        </ul>
      </div>
      {matches.length > LABELS_SHOWN && <small class="muted">{number(matches.length - LABELS_SHOWN)} more: type a part of the name.</small>}
    </Card>
  );
}

function Rows({ id }: { id: string }) {
  const offset = Number(route.value.query.get("offset") ?? 0);
  const sort = route.value.query.get("sort") ?? "";
  const conditions = readConditions(route.value.query.get("filter"));
  const where = whereOf(conditions);
  const { value, error } = useGet<DatasetRows>(`/v1/datasets/${id}/rows`, { limit: ROWS, offset, sort, where: where && JSON.stringify(where) });
  const { value: profile } = useGet<DatasetProfile>(`/v1/datasets/${id}/profile`);
  const columns = profile?.columns?.filter((column) => !column.exclude).map(({ name, type, missing, min, max, top }): ColumnOption => (
    { name, type, nullable: missing > 0, min, max, values: type === "category" ? top?.map(({ value }) => String(value)) : undefined }
  ));
  return (
    <Card title="Rows" aside={value && <Pager page={value} size={ROWS} />}>
      <details open={conditions.length > 0}>
        <summary>Filter</summary>
        <Conditions columns={columns ?? []} value={conditions} hint="Without conditions, all rows are shown." onChange={(list) => setQuery({ filter: list.length > 0 ? JSON.stringify(list) : null, offset: null })} />
      </details>
      {error && <ProblemNote problem={error} />}
      {!value && !error && <Loading rows={10} />}
      {value?.total === 0 && <p class="muted">No row satisfies the conditions.</p>}
      {value && <RowTable rows={value.data.map((row) => row.values)} label="Rows" sort={sort} onSort={(order) => setQuery({ sort: order, offset: null })} />}
    </Card>
  );
}

function readConditions(text: string | null): Condition[] {
  try {
    return JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
}

function Profile({ id }: { id: string }) {
  const { value } = useGet<DatasetProfile>(`/v1/datasets/${id}/profile`);
  if (!value?.columns) return null;
  return (
    <>
      <Card title="Columns">
        <div class="grid columns">{value.columns.map((column) => <Column key={column.name} column={column} />)}</div>
      </Card>
      {value.relations && value.relations.length > 0 && (
        <Card title="Relations between columns">
          <p class="muted small">They hold in the rows, and samples keep them.</p>
          <ul>{value.relations.map(({ name, kind }) => <li key={name}><code>{relationText(name)}</code> <small class="muted">{kind.replaceAll("_", " ")}</small></li>)}</ul>
        </Card>
      )}
    </>
  );
}

function Column({ column }: { column: ColumnProfile }) {
  const missing = column.count > 0 ? column.missing / column.count : 0; // `count` is the number of rows
  const { histogram, top } = column;
  return (
    <div class="stack column">
      <div class="row"><strong>{column.name}</strong><Badge>{column.exclude ? "excluded" : column.type}</Badge></div>
      {histogram && histogram.counts.length > 0 && (
        <Histogram counts={histogram.counts} from={edge(histogram.edges[0])} to={edge(histogram.edges.at(-1))} label={`Distribution of ${column.name}`} />
      )}
      {!histogram && top && <Shares values={top.map(({ value, count }) => ({ value: String(value), count }))} total={column.count} />}
      <small class="muted">
        {number(column.distinct ?? column.min_distinct)} distinct{missing > 0 ? `, ${number(100 * missing, 1)} % missing` : ""}
        {column.mean !== null && column.mean !== undefined ? `, mean ${score(column.mean)}` : ""}
      </small>
    </div>
  );
}

const edge = (value: string | number | undefined) => (typeof value === "number" ? score(value) : (value ?? "").replace(/T00:00:00.*/, ""));
