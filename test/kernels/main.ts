/** What bin/test-kernels runs when everything is built. */
import { parseArgs } from "node:util";
import { exitAtSignals } from "../support/process.ts";
import { makeImage } from "./image.ts";
import { KERNELS } from "./kernels.ts";
import { runInMachine } from "./machine.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tests: { type: "string" },
    pattern: { type: "string", short: "t" },
    verbose: { type: "boolean", short: "v" },
    append: { type: "string" },
    prepare: { type: "string" },
  },
});
exitAtSignals();
for (const kernel of KERNELS.filter(({ name }) => positionals.includes(name))) {
  await makeImage(kernel);
  const outcome = await runInMachine({
    kernel,
    files: (values.tests ?? "bpf/variants").split(","),
    ...(values.pattern !== undefined && { pattern: values.pattern }),
    ...(values.append !== undefined && { append: values.append }),
    ...(values.prepare !== undefined && { prepare: values.prepare }),
    ...(values.verbose && { log: (line: string) => console.log(`${kernel.name}: ${line}`) }),
  });
  console.log(`${kernel.name} ${outcome.version} ${outcome.seconds.toFixed(1)} s`);
  for (const report of outcome.reports) {
    console.log(`  ${report.file}: ${report.passed} passed, ${report.failures.length} failed`);
    for (const failure of report.failures) console.log(`    ${failure}`);
  }
  if (outcome.reports.length === 0) console.log(outcome.console.slice(-40).join("\n"));
}
