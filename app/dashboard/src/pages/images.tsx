// Images of a dataset: examples of each label in one picture, or all of one label page by page.
import { number } from "../format";
import { useGet } from "../load";
import { route, setQuery } from "../router";
import type { Dataset, DatasetItems } from "../types";
import { Select } from "../ui/fields";
import { Card, Loading, ProblemNote } from "../ui/parts";
import { Pager } from "../ui/pager";
import { Picture } from "../ui/picture";

const PAGE = 48;
const MIN_SIDE_PX = 80;

export function Images({ dataset }: { dataset: Dataset }) {
  const label = route.value.query.get("label");
  const offset = Number(route.value.query.get("offset") ?? 0);
  const labels = dataset.labels ?? [];
  const { value, error } = useGet<DatasetItems>(label === null ? null : `/v1/datasets/${dataset.id}/items`, { label, limit: PAGE, offset });
  const scale = Math.ceil(MIN_SIDE_PX / dataset.image!.width);
  return (
    <Card title="Images" aside={label !== null && value && <Pager page={value} size={PAGE} />}>
      {labels.length > 0 && (
        <div class="filters">
          <Select label="Label" value={label ?? ""} options={[["", "examples of each label"], ...labels.map(({ name, count }) => [name, `${name} (${number(count)})`] as [string, string])]} onChange={(name) => setQuery({ label: name, offset: null })} />
        </div>
      )}
      {error && <ProblemNote problem={error} />}
      {label === null && <div class="scroll" tabIndex={0} role="region" aria-label="Images of each label"><Picture path={`/v1/datasets/${dataset.id}/preview?format=png`} alt="Images of each label" /></div>}
      {label !== null && !value && !error && <Loading rows={6} />}
      {label !== null && value && (
        <ul class="thumbnails">
          {value.data.map((item) => (
            <li key={item.index} style={{ width: `${scale * dataset.image!.width}px`, aspectRatio: `${dataset.image!.width} / ${dataset.image!.height}` }}>
              <Picture path={item.url} alt={`Image ${item.index} of ${label}`} />
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
