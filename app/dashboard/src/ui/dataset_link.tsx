// Link to a dataset, by its name.
import { useGet } from "../load";
import { link } from "../router";
import type { Dataset } from "../types";

export function DatasetLink({ id }: { id: string }) {
  const { value } = useGet<Dataset>(`/v1/datasets/${id}`);
  return <a href={link("datasets", id)}>{value?.name ?? id}</a>;
}
