// Answers of the REST API, by the names that the pages use. `schema.d.ts` is generated from the
// OpenAPI document (`npm run types`).
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Dataset = Schemas["DatasetView"];
export type Job = Schemas["JobView"];
export type Model = Schemas["ModelView"];
export type Queue = Schemas["QueueView"];
export type Usage = Schemas["UsageReport"];
export type Worker = Schemas["WorkerView"];
export interface Readiness {
  status: string;
  checks: Record<string, string>;
}
