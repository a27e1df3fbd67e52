// The report of a model: verdict in words, scores between naive and real, real and synthetic data.
import { useState } from "preact/hooks";
import { post, type Problem } from "../api";
import { columnValue, number, relationText, score } from "../format";
import { useGet } from "../load";
import { link } from "../router";
import { isPrivacyScore, scoreMeaning, scoreName, VERDICT_WORDS, withScoreNames } from "../scores";
import type { Model, Report, Score, Statistics } from "../types";
import { AssociationMap, PairHistogram, PairLegend, PairShares, Scatter } from "../ui/distributions";
import { Card, Loading, Message, ProblemNote, VERDICT_TONES } from "../ui/parts";
import { download, Picture } from "../ui/picture";
import { Scale, ScaleLegend } from "../ui/scale";

/** `version` changes when there may be a newer report. */
export function ReportView({ model, version, onChange }: { model: Model; version: string; onChange: () => void }) {
  const { value: report, error } = useGet<Report>(`/v1/models/${model.id}/report`, { format: "json" }, 0, version);
  if (error && !report) return <ProblemNote problem={error} />;
  if (!report) return <Loading rows={8} />;
  const scores = report.scores ?? [];
  const privacy = scores.filter((item) => isPrivacyScore(item.name));
  const similarity = scores.filter((item) => !isPrivacyScore(item.name));
  return (
    <>
      <VerdictNote model={model} report={report} onChange={onChange} />
      <Pictures report={report} />
      {scores.length > 0 && <div class="grid wide">
        {similarity.length > 0 && <Scores title="How close to real data" scores={similarity} save={model} />}
        {privacy.length > 0 && (
          <div class="stack">
            <Scores title="Privacy" scores={privacy} />
            {report.nearest_train_distance && (
              <Card title="Distance to the nearest training item" aside={<PairLegend />}>
                <p class="small muted">Samples that are closer to training items than unseen real items are may be copies.</p>
                <PairHistogram histogram={report.nearest_train_distance} label="Distance to the nearest training item, real and samples" />
              </Card>
            )}
          </div>
        )}
      </div>}
      <Distributions report={report} isTable={model.modality === "tabular"} />
    </>
  );
}

function VerdictNote({ model, report, onChange }: { model: Model; report: Report; onChange: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const { verdict, state } = report;
  const start = () => post("/v1/jobs", { kind: "evaluation", model: model.id }).then(onChange, setProblem);
  const button = <div><button type="button" class="button" onClick={start}>{verdict ? "Evaluate again" : "Evaluate now"}</button></div>;
  return (
    <>
      {problem && <ProblemNote problem={problem} />}
      {state === "evaluating" && <div class="note" role="status">An evaluation runs{report.job ? <>: <a href={link("jobs", report.job)}>see its progress</a></> : ""}. This page shows the result.</div>}
      {state === "failed" && <div class="note bad"><strong>{report.error?.title ?? "The evaluation failed."}</strong><span>{report.error?.detail}</span>{button}</div>}
      {!verdict && (state === "not_evaluated" || state === "cancelled") && (
        <div class="note">
          <strong>This model has not been evaluated.</strong>
          <Message text={report.not_evaluable_reason ?? "An evaluation compares samples with real data that training has not seen."} />
          {!report.not_evaluable_reason && button}
        </div>
      )}
      {verdict && (
        <div class={`note ${VERDICT_TONES[verdict.verdict] ?? ""} verdict`}>
          <strong class="figure">{verdict.verdict}</strong>
          <span>{VERDICT_WORDS[verdict.verdict]}</span>
          <ul>{verdict.reasons.map((reason) => <li key={reason}><Message text={withScoreNames(reason)} /></li>)}</ul>
          {(report.failed_criteria ?? []).length > 0 && <span>Quality gate not met: {withScoreNames(report.failed_criteria!.join("; "))}.</span>}
          <small class="muted">{number(report.samples)} samples compared with {number(report.holdout_items)} real items that training has not seen.</small>
          {state !== "evaluating" && button}
        </div>
      )}
    </>
  );
}

function Scores({ title, scores, save }: { title: string; scores: Score[]; save?: Model }) {
  return (
    <Card title={title} aside={save && <button type="button" class="button small" onClick={() => download(`/v1/models/${save.id}/report?format=csv`, `${save.name}-${save.version}-report.csv`)}>Save as CSV</button>}>
      <ScaleLegend />
      <ul class="scores">
        {scores.map((item) => (
          <li key={item.name}>
            <div>
              <span>{scoreName(item.name)}</span>
              <small class="muted">{scoreMeaning(item.name)}</small>
            </div>
            <Scale score={item} />
            <span class="values" title={`95 % interval ${score(item.ci95[0])} to ${score(item.ci95[1])}`}>
              <strong>{score(item.value)}</strong>
              <small class="muted">real {score(item.real_reference)}</small>
            </span>
            {Object.keys(item.per_label ?? {}).length > 0 && <PerLabel item={item} />}
          </li>
        ))}
      </ul>
    </Card>
  );
}

const LABELS_SHOWN = 200;

/** Scores that are not divided by label. */
const PARTS: Record<string, string> = { marginal_tvd: "column", pairwise_tvd: "pair of columns", global_utility: "column" };

function PerLabel({ item }: { item: Score }) {
  const sign = item.direction === "lower" ? -1 : 1;
  const entries = Object.entries(item.per_label!).sort(([, a], [, b]) => sign * (a - b));
  const largest = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-9);
  return (
    <details class="small">
      <summary>By {PARTS[item.name] ?? "label"}, worst first ({number(entries.length)})</summary>
      <ul class="shares tall" tabIndex={0}>
        {entries.slice(0, LABELS_SHOWN).map(([name, value]) => (
          <li key={name}>
            <span class="name" title={name}>{name}</span>
            <span class="bar" aria-hidden="true"><span style={{ width: `${(100 * Math.abs(value)) / largest}%` }} /></span>
            <span class="muted">{score(value)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Real images next to samples, then the others. */
const ORDER = ["real.png", "samples.png", "nearest.png"];

function Pictures({ report }: { report: Report }) {
  const pictures = Object.entries(report.pictures ?? {}).sort(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
  if (pictures.length === 0 || !report.job) return null;
  return (
    <Card title="Real and synthetic images">
      <div class="grid pictures">
        {pictures.map(([name, title]) => (
          <figure key={name} class="stack">
            <figcaption class="small muted">{title}</figcaption>
            <div class="scroll" tabIndex={0} role="region" aria-label={title}><Picture path={`/v1/jobs/${report.job}/artifacts/${name}`} alt={title} /></div>
          </figure>
        ))}
      </div>
    </Card>
  );
}

const COLUMNS_SHOWN = 60;

function Distributions({ report, isTable }: { report: Report; isTable: boolean }) {
  const statistics = (report.statistics ?? []).filter((item) => item.label === null || item.label === undefined);
  const { column_associations: associations, scatter, relations = [], unseen_pairs: unseenPairs = [] } = report;
  return (
    <>
      {statistics.length > 0 && (
        <Card title={isTable ? "Columns" : "Brightness and contrast"} aside={<PairLegend />}>
          <p class="small muted">Samples are compared with the {number(report.holdout_items)} real items that training has not seen, so that a model cannot look good by repeating items.</p>
          <div class="grid columns">{statistics.slice(0, COLUMNS_SHOWN).map((item) => <Column key={item.column} item={item} />)}</div>
          {statistics.length > COLUMNS_SHOWN && <small class="muted">The first {COLUMNS_SHOWN} of {number(statistics.length)}; the CSV file has all.</small>}
        </Card>
      )}
      <div class="grid wide">
        {associations && (
          <Card title="Which columns depend on each other">
            <p class="small muted">The stronger the color, the stronger the association. Both pictures should look alike.</p>
            <div class="pair-maps"><AssociationMap data={associations} kind="real" /><AssociationMap data={associations} kind="synthetic" /></div>
          </Card>
        )}
        {scatter && (
          <Card title="All items in two dimensions" aside={<PairLegend />}>
            <p class="small muted">Both clouds should cover the same area. The two axes explain {number(100 * scatter.explained_variance_ratio)} % of the variance.</p>
            <Scatter data={scatter} />
          </Card>
        )}
        {relations.length > 0 && (
          <Card title="Relations between columns">
            <div class="scroll" tabIndex={0} role="region" aria-label="Relations">
              <table>
                <thead><tr><th>Relation</th><th class="number">In samples</th><th class="number">In unseen rows</th><th class="number">In naive rows</th></tr></thead>
                <tbody>
                  {relations.map((relation) => (
                    <tr key={relation.name}><td><code>{relationText(relation.name)}</code></td><td class="number">{number(100 * relation.holds_in_samples, 1)} %</td><td class="number">{number(100 * relation.holds_in_holdout, 1)} %</td><td class="number">{number(100 * relation.holds_in_naive_rows, 1)} %</td></tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Card>
        )}
        {unseenPairs.length > 0 && (
          <Card title="Values that do not belong together">
            <p class="small muted">Share of rows with a pair of values that no training row has.</p>
            <div class="scroll" tabIndex={0} role="region" aria-label="Values that do not belong together">
              <table>
                <thead><tr><th>Columns</th><th class="number">In samples</th><th class="number">In unseen rows</th><th class="number">In naive rows</th></tr></thead>
                <tbody>
                  {unseenPairs.map((pair) => (
                    <tr key={pair.columns.join()}><td>{pair.columns.join(" and ")}</td><td class="number">{number(100 * pair.in_samples, 1)} %</td><td class="number">{number(100 * pair.in_holdout, 1)} %</td><td class="number">{number(100 * pair.in_naive_rows, 1)} %</td></tr>
                  ))}
                </tbody>
              </table>
            </div>
          </Card>
        )}
      </div>
    </>
  );
}

function Column({ item }: { item: Statistics }) {
  const { real, synthetic, histogram, type } = item;
  const text = (value: number | null | undefined) => columnValue(type, value);
  return (
    <div class="stack column">
      <div class="row"><strong>{item.column}</strong>{type && <small class="muted">{type}</small>}</div>
      {histogram && histogram.real.length > 0 && <PairHistogram histogram={histogram} text={text} label={`Distribution of ${item.column}, real and samples`} />}
      {real.shares && synthetic.shares && <PairShares real={real.shares} synthetic={synthetic.shares} />}
      <small class="muted">
        {real.mean != null && <>mean {text(real.mean)} real, {text(synthetic.mean)} samples</>}
        {real.missing + synthetic.missing > 0 && <>{real.mean != null ? "; " : ""}missing {share(real)} real, {share(synthetic)} samples</>}
      </small>
    </div>
  );
}

const share = ({ count, missing }: { count: number; missing: number }) => `${number((100 * missing) / Math.max(1, count + missing), 1)} %`;
