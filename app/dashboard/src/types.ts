// Answers of the REST API, by the names that the pages use. `schema.d.ts` is generated from the
// OpenAPI document (`npm run types`).
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Dataset = Schemas["DatasetView"];
export type Job = Schemas["JobView"];
export type Model = Schemas["ModelView"];
export type Upload = Schemas["UploadView"];
export type Queue = Schemas["QueueView"];
export type Usage = Schemas["UsageReport"];
export type Worker = Schemas["WorkerView"];
export interface Readiness {
  status: string;
  checks: Record<string, string>;
}
export type Artifact = Schemas["ArtifactView"];
export type CheckpointRow = Schemas["CheckpointView"];
export type Preview = Schemas["PreviewView"];
export type Series = Schemas["Series"];
export interface JobEvent {
  id: number;
  type: string;
  level: string;
  step: number | null;
  data: Record<string, unknown>;
  created_at: string;
}
export type ColumnProfile = Schemas["ColumnProfileView"];
export type DatasetIssue = Schemas["Issue"];
export type DatasetProfile = Schemas["DatasetProfile"];
export type DatasetSchema = Schemas["SchemaView"];
export type Preset = Schemas["PresetView"];
export type TrainingPlan = Schemas["TrainingPlan"];
export type Score = Schemas["ScoreView"];
export type Report = Schemas["Report"];
export type HistogramPair = Schemas["Histogram"];
export type Associations = Schemas["ColumnAssociations"];
export type Scatter = Schemas["Scatter"];
export type ModelCard = Schemas["ModelCard"];
export type Statistics = Schemas["ColumnStatistics"];
export type SamplingOptions = Schemas["SamplingOptions"];
export type ColumnOption = Schemas["ColumnOption"];
export type Receipt = Schemas["SignedSampleManifest"];
export type ServiceDescription = Schemas["ServiceDescription"];
export type Comparison = Schemas["Comparison"];
export type JobsMetrics = Schemas["JobsMetrics"];
export type Key = Schemas["KeyView"];
export type CreatedKey = Schemas["CreatedKey"];
export type Webhook = Schemas["WebhookView"];
export type CreatedWebhook = Schemas["CreatedWebhook"];
export type Delivery = Schemas["DeliveryView"];
export type AuditEntry = Schemas["AuditView"];
export type AugmentationPlan = Schemas["AugmentationPlan"];
export type EvaluationResult = Schemas["EvaluationResult"];
export type TrainingResult = Schemas["TrainingResult"];
export type AugmentationResult = Schemas["AugmentationResult"];
export type ColumnChange = Schemas["ColumnChange"];
export type DatasetItems = Schemas["DatasetItems"];
export type DatasetRows = Schemas["DatasetRows"];
