/** What several runs of one file cannot have in common. */
import { CHANNEL_PORT } from "../command-line/intercept.ts";
import type { Run } from "../command-line/reading/load.ts";
import { formatPlace, type Given } from "../command-line/reading/origin.ts";
import { Failure } from "../native/failure.ts";

/** Options that name what only one process can have, or writes whole. */
const EXCLUSIVE: Record<string, string> = {
  report: "each would write over what the other has written",
  write: "each would write over what the other has written",
  "pid-file": "each would write over what the other has written",
  web: "only one can listen there",
};

function whereOf({ origin, text }: Given, name: string): string {
  if (origin.source === "file") return `${formatPlace(origin)} ${name} "${text}"`;
  return origin.source === "environment" ? `${origin.variable} "${text}"` : `--${name} "${text}"`;
}

/** What a value stands for, where it can be written in several ways; null: it is no clash. */
function meaningOf(option: string, text: string): string | null {
  if (option !== "web") return text;
  const [port, host = "127.0.0.1"] = text.split(/:(?=[^:]*$)/).reverse() as [string, string?];
  return Number(port) === 0 ? null : `${host === "localhost" ? "127.0.0.1" : host}:${Number(port)}`;
}

function sharedValues(runs: readonly Run[]): Failure[] {
  const clashes: Failure[] = [];
  for (const [option, cause] of Object.entries(EXCLUSIVE)) {
    const seen = new Map<string, string | null>();
    for (const { name, args } of runs) {
      for (const given of args.settings.get(option) ?? []) {
        const meaning = meaningOf(option, given.text);
        if (meaning === null) continue;
        const other = seen.get(meaning);
        seen.set(meaning, name);
        if (other === undefined || other === name) continue;
        const message = `Cannot use ${whereOf(given, option)} for "${other}" and for "${name}": ${cause}`;
        clashes.push(new Failure(message, "Give each table its own.", 2));
      }
    }
  }
  return clashes;
}

/** Intercepts that would listen at the same addresses and port; without --bind these are all, as far as a file tells. */
function sharedPorts(runs: readonly Run[]): Failure[] {
  const listening = runs.map(({ name, args }) => ({
    name,
    given: args.settings.get("port")?.[0] ?? null,
    port: Number(args.get("port")?.[0] ?? CHANNEL_PORT),
    addresses: (args.get("bind") ?? []).flatMap((text) => text.split(",")).map((text) => text.trim()),
  }));
  return listening.flatMap((one, index) => {
    const other = listening.slice(0, index).find(({ port, addresses }) => {
      const isAny = addresses.length === 0 || one.addresses.length === 0;
      return port === one.port && (isAny || addresses.some((address) => one.addresses.includes(address)));
    });
    if (other === undefined) return [];
    const what = one.given === null ? `port "${one.port}", the default,` : whereOf(one.given, "port");
    const message = `Cannot use ${what} for "${other.name}" and for "${one.name}": only one can listen there`;
    return [new Failure(message, "Give each table its own port, or its own address with bind.", 2)];
  });
}

/** The process that looks after several runs does not go to the background. */
function background(runs: readonly Run[]): Failure[] {
  const given = runs.flatMap(({ args }) => args.settings.get("daemon") ?? [])[0];
  if (given === undefined || runs.length < 2) return [];
  const { origin } = given;
  const what =
    origin.source === "file"
      ? `${formatPlace(origin)} daemon`
      : origin.source === "environment"
        ? origin.variable
        : "-d";
  return [
    new Failure(
      `Cannot use ${what}: there are several runs, and the process that looks after them does not go to the background`,
      "Name one with --only, or let a service manager start them.",
      2,
    ),
  ];
}

/** All that these runs of a table (`copy`) cannot have together. */
export function clashesOf(table: string, runs: readonly Run[]): Failure[] {
  return [...sharedValues(runs), ...(table === "intercept" ? sharedPorts(runs) : []), ...background(runs)];
}
