// The code of what is on the screen: the same request with curl and with the Python client.

type Json = unknown;

const KEY = "$SEMBLANCE_KEY";

/** Return a curl command that sends `body` as JSON. */
export function curl(method: string, path: string, body?: Json, output?: string): string {
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${quote(location.origin + path)}`, `-H "Authorization: Bearer ${KEY}"`];
  if (body !== undefined) lines.push(`-H "Content-Type: application/json"`, `-d ${quote(JSON.stringify(body))}`);
  if (output) lines.push(`-o ${quote(output)}`);
  return lines.join(" \\\n  ");
}

const quote = (text: string) => (/^[\w./:?&=@%-]+$/.test(text) && !/[?&]/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** Return a Python program: `call` uses `client`. */
export function python(call: string): string {
  return `import os\n\nfrom semblance import Client\n\nwith Client(${literal(location.origin)}, os.environ["SEMBLANCE_KEY"]) as client:\n${indent(call)}\n`;
}

const indent = (text: string) => text.split("\n").map((line) => `    ${line}`).join("\n");

/** Return the arguments of a call, one a line; values that are undefined are left out. */
export function keywords(values: Record<string, Json>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `\n    ${name}=${literal(value)},`)
    .join("");
}

/** Return `value` as a Python literal. */
export function literal(value: Json): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).filter(([, v]) => v !== undefined).map(([k, v]) => `${JSON.stringify(k)}: ${literal(v)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
