// Bundle the dashboard into static/: one script, one style sheet, the page and its icon.
import { cp, mkdir, rm } from "node:fs/promises";
import { build, context } from "esbuild";

const options = {
  entryPoints: { app: "src/main.tsx", style: "src/style.css" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  outdir: "static",
  logLevel: "warning",
};

await rm("static", { recursive: true, force: true });
await mkdir("static");
await cp("public", "static", { recursive: true });
if (process.argv.includes("--watch")) {
  await (await context({ ...options, minify: false, sourcemap: "inline" })).watch();
} else {
  await build(options);
}
