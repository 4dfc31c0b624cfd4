/** Options from the environment: XCOPY_MAX_SESSIONS for --max-sessions. */
import { Failure } from "../../native/failure.ts";
import { type CommandSpec, type Option, settable } from "../command.ts";
import type { Given, Settings } from "./origin.ts";
import { suggest } from "./suggest.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "XCOPY_";

/** What means something else: to xcopy itself, to install.sh, and to the tests. */
const OTHERS = /^XCOPY_(KEY|DAEMON|PARENT|VERSION|BASE_URL|INSTALL_DIR|DEMO_ROLE|DEBIAN_MIRROR|TEST_.*)$/;

/** What Kubernetes gives every container beside a service that is called xcopy, as Docker does for links. */
const OF_SERVICE = /^XCOPY_(SERVICE_(HOST|PORT(_.*)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)$/;
const SERVICE_PORT = /^(tcp|udp|sctp):\/\//;

const ON = ["1", "true", "yes"];
const OFF = ["0", "false", "no"];

/** `XCOPY_MAX_SESSIONS`. */
export function variableOf({ name }: Pick<Option, "name">): string {
  return PREFIX + name.toUpperCase().replaceAll("-", "_");
}

/** What a variable gives an option. Throws a Failure (exit code 2). */
function readVariable(variable: string, text: string, { value, choices, name }: Option): Given[] {
  const given = (meant: string): Given[] => [{ text: meant, origin: { source: "environment", variable } }];
  if (value !== undefined && !choices) return given(text);
  const word = text.toLowerCase();
  if (OFF.includes(word)) return [];
  if (ON.includes(word)) return given(choices?.[0] ?? "");
  if (choices?.includes(text)) return given(text);
  const known = [...(choices ?? []), ...ON, ...OFF].join(", ").replace(/, ([^,]*)$/, " or $1");
  throw new Failure(`Cannot use ${variable} "${text}": --${name} takes ${known}`, `Give ${known}.`, 2);
}

/**
 * What the environment gives a command, and warnings about variables that no command of `all` knows. An empty one gives nothing.
 * Throws a Failure (exit code 2).
 */
export function readEnvironment(
  spec: CommandSpec,
  environment: Environment,
  all: readonly CommandSpec[],
): { settings: Settings; warnings: string[] } {
  const settings = new Map<string, Given[]>();
  const warnings: string[] = [];
  const known = [...new Set([spec, ...all].flatMap(settable).map(variableOf))];
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(PREFIX) || !text || OTHERS.test(variable)) continue;
    if (OF_SERVICE.test(variable) || SERVICE_PORT.test(text)) continue;
    const option = settable(spec).find((one) => variableOf(one) === variable);
    if (option) settings.set(option.name, readVariable(variable, text, option));
    else if (!known.includes(variable)) warnings.push(unknownVariable(variable, known));
  }
  return { settings, warnings };
}

function unknownVariable(variable: string, known: readonly string[]): string {
  const bare = (name: string) => name.slice(PREFIX.length);
  const near = suggest(bare(variable), known.map(bare));
  const fix = near ? `did you mean ${PREFIX}${near}?` : "unset it.";
  return `${variable} in the environment is no option of xcopy, and has no effect: ${fix}`;
}
