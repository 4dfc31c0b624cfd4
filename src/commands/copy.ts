/** `xcopy copy`: reads the options, makes the plan, prints it (--dry-run) or runs it. */
import type { Key } from "../channel/key.ts";
import { COPY } from "../command-line/copy.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import { configuredCommand, type Several, type Source } from "../command-line/reading/configured.ts";
import { doctorLine } from "../command-line/reading/doctor-line.ts";
import { type LoadedArguments, readingWith } from "../command-line/reading/load.ts";
import { withOrigin } from "../command-line/reading/origin.ts";
import { checkFiles } from "../copy/comparison/files.ts";
import { type CopyOptions, parseCopy } from "../copy/options.ts";
import { say, setStyle } from "../host/log/style.ts";
import { holdEarly } from "../host/signals.ts";
import { Failure } from "../native/failure.ts";
import { goesToBackground } from "./background.ts";
import { type Named, runSeveral } from "./several.ts";

/** Options that name files which are read again. */
const SECRET_FILES = ["mysql-users", "web-token"];

/** The parts of the values of -u that hold passwords: of each user all from the first @ on. */
function secretsOf(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(",").map((user) => user.slice(user.indexOf("@"))));
}

/** The key for the intercepts; null: there are none, or it goes without. Throws a Failure (exit code 2, 4). */
async function channelKey({ intercepts, compat, keyFile, insecure }: CopyOptions): Promise<Key | null> {
  if (intercepts.length === 0 || compat) return null;
  const { checkKey, readKey } = await import("../channel/key.ts");
  const key = readKey(keyFile, process.env);
  checkKey("copy", key, insecure);
  return key;
}

/** Keeps passwords from other users of this host. */
export async function hideSecrets(args: Arguments): Promise<void> {
  const { forbidCores, hideArguments } = await import("../native/secrets.ts");
  hideArguments(secretsOf(args.get("user") ?? []));
  forbidCores();
}

async function runAll(several: Several): Promise<void> {
  for (const { args } of several.runs) if (args.has("user")) await hideSecrets(args);
  const { meets, shareOut } = await import("../copies/shares.ts");
  const sendingOf = ({ name, options: { transfers, ports, part } }: Named<CopyOptions>) => ({
    name,
    transfers,
    ports,
    part,
  });
  await runSeveral(COPY, several, parseCopy, {
    moreWords: (copies) => shareOut(copies.map(sendingOf)),
    meets: (one, others) => meets(sendingOf(one), others.map(sendingOf)),
  });
}

/** `line` says where more is found out about a start that failed. */
async function start(args: LoadedArguments, { again }: Source, line: string): Promise<void> {
  holdEarly(again !== null);
  const options = parseCopy(args);
  setStyle({ format: options.logFormat, command: "copy" });
  const user = args.get("run-as")?.at(-1);
  if (user !== undefined && !options.dryRun) {
    const { runAs } = await import("../host/run-as.ts");
    const port = options.audience.web?.port ?? 0;
    runAs(user, "copy", { setsPriority: options.scheduling.nice !== null, ...(port > 0 && { port }) });
  }
  if (await goesToBackground(options)) return;
  if (options.mysql.users.length > 0) await hideSecrets(args);
  checkFiles(options.audience.reports);
  const { filter } = options.capture;
  // Before anything is touched, and with its place in the file.
  if (filter !== null) (await import("../filter/compile.ts")).compileFilter(filter, "ethernet");
  const key = await channelKey(options);
  // Imported only here, so that help and errors of the command line do not load the rest of the program.
  if (!options.dryRun) (await import("../copy/data-plane/start.ts")).prepareDataPlane();
  const { makePlan } = await import("../copy/plan/make.ts");
  const { thisHost } = await import("../copy/plan/host.ts");
  if (options.dryRun) {
    const { renderPlan } = await import("../copy/dry-run.ts");
    const plan = await makePlan(options, thisHost(options), key);
    console.log(renderPlan(plan, options));
    for (const warning of plan.warnings) say("warning", warning);
    return;
  }
  const { runCopy } = await import("../copy/run/run.ts");
  const { Reloader } = await import("../copy/reload/reload.ts");
  const reloader = new Reloader(
    { options },
    () => {
      const now = again?.() ?? args;
      return {
        options: readingWith(COPY, now, parseCopy),
        explain: (error) => withOrigin(error, COPY, now.settings),
      };
    },
    {
      takesSignal: again !== null,
      name: args.get("only")?.[0] ?? null,
      reads: ["config", ...SECRET_FILES].flatMap((name) => args.get(name) ?? []),
    },
  );
  const plan = await makePlan(options, thisHost(options), key);
  process.exitCode = await runCopy(options, plan, reloader, (failure) =>
    (withOrigin(failure, COPY, args.settings) as Failure).withLineOfStart(line),
  );
}

async function run(args: LoadedArguments, source: Source): Promise<void> {
  const line = doctorLine(args.settings);
  try {
    await start(args, source, line);
  } catch (error) {
    throw error instanceof Failure ? error.withLineOfStart(line) : error;
  }
}

export default configuredCommand(COPY, run, runAll);
