// The list of models, with verdicts; chosen ones are compared.
import { useState } from "preact/hooks";
import { dataKind, number, score } from "../format";
import { usePages } from "../load";
import { link, route, setQuery } from "../router";
import { scoreName } from "../scores";
import type { Model } from "../types";
import { Input, Select } from "../ui/fields";
import { ListTable } from "../ui/list_table";
import { Badge, Empty, Loading, ProblemNote, Time, VERDICT_TONES } from "../ui/parts";

export function ModelsPage() {
  const query = route.value.query;
  const filters = { name: query.get("name"), modality: query.get("modality"), dataset: query.get("dataset") };
  const name = filters.name && `${filters.name.replace(/\*$/, "")}*`;
  const { items, total, error, next, more, reload } = usePages<Model>("/v1/models", { ...filters, name, sort: query.get("sort"), limit: 50 }, 10_000);
  const [chosen, setChosen] = useState<string[]>([]);
  const toggle = (reference: string) => setChosen((old) => (old.includes(reference) ? old.filter((other) => other !== reference) : [...old, reference]));
  const isFiltered = Object.values(filters).some(Boolean);
  return (
    <>
      <header>
        <div class="row"><h1>Models</h1>{total !== null && <span class="muted">{total}</span>}</div>
        {chosen.length > 1 && <a class="button primary" href={`${link("compare")}?models=${encodeURIComponent(chosen.join(","))}`}>Compare {chosen.length} models</a>}
      </header>
      <div class="filters">
        <Input label="Name begins with" value={filters.name ?? ""} onChange={(text) => setQuery({ name: text })} />
        <Select label="Kind of data" value={filters.modality ?? ""} options={[["", "all"], ["image", "images"], ["tabular", "tables"]]} onChange={(modality) => setQuery({ modality })} />
        <Select label="Order" value={query.get("sort") ?? ""} options={[["", "newest first"], ["created_at", "oldest first"], ["name", "by name"]]} onChange={(sort) => setQuery({ sort })} />
      </div>
      {error && <ProblemNote problem={error} onRetry={reload} />}
      {!items && !error && <Loading rows={6} />}
      {items?.length === 0 && (
        <Empty title={isFiltered ? "No model matches these filters" : "No models yet"}>
          <p>{isFiltered ? "Shorten the name or choose another kind of data." : "A model appears here when its training ends. Start one from the page of a dataset."}</p>
          <a class="button" href={link("datasets")}>Datasets</a>
        </Empty>
      )}
      {items && items.length > 0 && (
        <section class="card">
          <ListTable label="Models">
            <thead><tr><th><span class="hidden">Compare</span></th><th>Model</th><th>Verdict</th><th>Main scores</th><th>Data</th><th class="number">Labels</th><th>Created</th></tr></thead>
            <tbody>
              {items.map((model) => (
                <tr key={model.id}>
                  <td class="pick"><input type="checkbox" aria-label={`Compare ${model.reference}`} checked={chosen.includes(model.reference)} onChange={() => toggle(model.reference)} /></td>
                  <td class="title">
                    <a href={link("models", model.reference)}>{model.reference}</a>
                    {model.aliases.map((alias) => <> <Badge key={alias}>{alias}</Badge></>)}
                  </td>
                  <td><Verdict model={model} /></td>
                  <td class="line small">{Object.entries(model.quality.scores).slice(0, 2).map(([key, { value }]) => `${scoreName(key)} ${score(value)}`).join(", ")}</td>
                  <td>{dataKind(model.modality)}</td>
                  <td class="number">{number(model.labels?.length)}</td>
                  <td class="nowrap"><Time at={model.created_at} /></td>
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

export function Verdict({ model }: { model: Model }) {
  const { verdict, state } = model.quality;
  if (verdict) return <Badge tone={VERDICT_TONES[verdict] ?? ""}>{verdict}</Badge>;
  return <Badge tone={state === "evaluating" ? "live" : state === "failed" ? "bad" : ""}>{state.replaceAll("_", " ")}</Badge>;
}
