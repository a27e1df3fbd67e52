// All hyperparameters of a modality, from the OpenAPI document of the service.
import { useEffect, useState } from "preact/hooks";
import { get, type Problem } from "../api";
import { errorOf, Input } from "../ui/fields";
import { Loading, ProblemNote } from "../ui/parts";

interface Hyperparameter {
  description?: string;
  anyOf?: Bounds[];
}
interface Bounds {
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}
interface Document {
  components: { schemas: Record<string, { properties?: Record<string, Hyperparameter> }> };
}

const SCHEMAS: Record<string, string> = { image: "ImageHyperparameters", tabular: "TabularHyperparameters" };

interface Props {
  modality: string;
  /** What the reader typed, by name. */
  values: Record<string, string>;
  /** What the service chooses, by name. */
  resolved: Record<string, unknown>;
  problem: Problem | null;
  onChange: (name: string, text: string) => void;
}

export function Hyperparameters(props: Props) {
  const [opened, setOpened] = useState(false);
  const count = Object.values(props.values).filter(Boolean).length;
  return (
    <details class="card" onToggle={(event) => event.currentTarget.open && setOpened(true)}>
      <summary>Advanced: all hyperparameters{count > 0 ? ` (${count} changed)` : ""}</summary>
      {opened && <Fields {...props} />}
    </details>
  );
}

function Fields({ modality, values, resolved, problem, onChange }: Props) {
  const [schema, setSchema] = useState<Record<string, Hyperparameter> | null>(null);
  const [error, setError] = useState<Problem | null>(null);
  useEffect(() => {
    get<Document>("/openapi.json").then(
      (document) => setSchema(document.components.schemas[SCHEMAS[modality]!]?.properties ?? {}),
      setError,
    );
  }, [modality]);
  if (error) return <ProblemNote problem={error} />;
  if (!schema) return <Loading rows={8} />;
  return (
    <>
      <p class="muted small">The service chooses the value of an empty field, and shows it in gray.</p>
      <div class="grid narrow">
        {Object.entries(schema).map(([name, { description, anyOf = [] }]) => {
          const limits = anyOf.map(boundsText).find(Boolean);
          return (
            <Input
              key={name} label={name} value={values[name] ?? ""} placeholder={resolved[name] === undefined ? "auto" : JSON.stringify(resolved[name])}
              hint={[description, limits].filter(Boolean).join(" ")} error={errorOf(problem, `hyperparameters/${name}`)} onChange={(text) => onChange(name, text)}
            />
          );
        })}
      </div>
    </>
  );
}

/** Return the allowed values in words; "" without bounds. */
function boundsText({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Bounds): string {
  const low = minimum !== undefined ? `at least ${minimum}` : exclusiveMinimum !== undefined ? `more than ${exclusiveMinimum}` : "";
  const high = maximum !== undefined ? `at most ${maximum}` : exclusiveMaximum !== undefined ? `less than ${exclusiveMaximum}` : "";
  const text = [low, high].filter(Boolean).join(", ");
  return text && `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}
