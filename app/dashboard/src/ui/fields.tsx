// Fields of forms: a label, a hint, and the error that the service reports for the field.
import type { ComponentChildren } from "preact";
import type { Problem } from "../api";

/** Return the message of the service for a field: `budget/steps`. */
export const errorOf = (problem: Problem | null, field: string) =>
  problem?.fieldErrors.find((error) => error.pointer.replace(/^\//, "") === field)?.message;

interface FieldProps {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  children: ComponentChildren;
}

export function Field({ label, hint, error, children }: FieldProps) {
  return (
    <label class="field">
      {label}
      {children}
      {error ? <small class="wrong">{error}</small> : hint && <small>{hint}</small>}
    </label>
  );
}

interface InputProps extends Omit<FieldProps, "children"> {
  value: string;
  onChange: (value: string) => void;
  type?: "number" | "url";
  placeholder?: string;
  min?: number | undefined;
  max?: number | undefined;
  step?: string;
  required?: boolean;
}

export function Input({ label, hint, error, value, onChange, type, ...rest }: InputProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      <input type={type as "text"} value={value} aria-invalid={error ? "true" : undefined} onInput={(event) => onChange(event.currentTarget.value)} {...rest} />
    </Field>
  );
}

interface SelectProps extends Omit<FieldProps, "children"> {
  value: string;
  options: (string | [string, string])[];
  onChange: (value: string) => void;
}

/** Options are values, or pairs of a value and its text. */
export function Select({ label, hint, error, value, options, onChange }: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      <select value={value} aria-invalid={error ? "true" : undefined} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => {
          const [name, text] = typeof option === "string" ? [option, option] : option;
          return <option key={name} value={name} selected={name === value}>{text}</option>;
        })}
      </select>
    </Field>
  );
}

export function Check({ label, hint, checked, onChange }: { label: string; hint?: string; checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}{hint && <small>{hint}</small>}</span>
    </label>
  );
}

/** Return the number that a reader typed; undefined for an empty field. A text that is no number stays a text, which the service rejects by name. */
export function typed(text: string): number | string | undefined {
  if (text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isNaN(value) ? text : value;
}
