// Numbers, sizes and times for readers. Times are shown in the reader's zone.

export const number = (value: number | null | undefined, digits = 0) =>
  value === null || value === undefined
    ? "–"
    : value.toLocaleString(undefined, { maximumFractionDigits: digits });

/** A score with three significant digits. */
export function score(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) >= 1000 ? number(rounded) : rounded.toString();
}

/** A number of a column as in its rows: dates, times of day and durations are in microseconds. */
export function columnValue(type: string | null | undefined, value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (type === "datetime") return new Date(value / 1000).toLocaleDateString(undefined, { timeZone: "UTC" });
  if (type === "time") return new Date(value / 1000).toISOString().slice(11, 19);
  if (type === "duration") return `${value < 0 ? "−" : ""}${duration(Math.abs(value) / 1e6)}`;
  return score(value);
}

/** The name of a relation between columns, with signs instead of `->`, `<=` and `>=`. */
export const relationText = (name: string) => name.replaceAll("->", "→").replaceAll("<=", "≤").replaceAll(">=", "≥");

/** The kind of data in words. */
export const dataKind = (modality: string) => (modality === "image" ? "images" : "table");

const unbroken = (text: string) => text.replaceAll(" ", "\u00a0");

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = value < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return unbroken(`${Number((value / 1000 ** power).toPrecision(3))} ${units[power]}`);
}

const two = (seconds: number, large: number, largeUnit: string, small: number, smallUnit: string) => {
  const rest = Math.floor((seconds % large) / small);
  return unbroken(`${Math.floor(seconds / large)} ${largeUnit}${rest ? ` ${rest} ${smallUnit}` : ""}`);
};

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return unbroken(`${s} s`);
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function ago(at: string): string {
  const seconds = (new Date(at).getTime() - Date.now()) / 1000;
  const steps: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86400], ["hour", 3600], ["minute", 60]];
  for (const [unit, size] of steps) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(Math.round(seconds / size), unit);
  }
  return RELATIVE.format(Math.round(seconds), "second");
}
