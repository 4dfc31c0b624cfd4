/** The values of the options about comparing answers: names of header fields, patterns, the target with the old version, files. */
import { extname } from "node:path";
import { COMPARED_FIELDS } from "../../command-line/comparison.ts";
import { formatEndpoint, sameAddress } from "../../config/address.ts";
import { parseTarget, type Transfer } from "../../config/transfer.ts";
import { Failure } from "../../native/failure.ts";

/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** Values of `--compare-field`, names with commas between them, in lower case. Throws a Failure (exit code 2). */
export function parseFields(values: readonly string[]): string[] {
  if (values.length === 0) return COMPARED_FIELDS;
  const names = values.flatMap((value) => value.split(",").map((name) => name.trim().toLowerCase()));
  const wrong = names.find((name) => !TOKEN.test(name));
  if (wrong === undefined) return [...new Set(names)];
  const fix = `Give names, separated by commas, for example ${COMPARED_FIELDS.join(",")}.`;
  throw new Failure(`Cannot use --compare-field "${wrong}": not the name of a header field`, fix, 2);
}

/** The labels of the transfers to `ADDRESS[:PORT]`, a value of `--noise`. Throws a Failure (exit code 2). */
export function parseNoise(text: string, transfers: readonly Transfer[]): string[] {
  const refuse = (cause: string, fix: string) =>
    new Failure(`Cannot use --noise "${text}": ${cause}`, fix, 2);
  const known = transfers.flatMap(({ targets }) => targets.map(endpointOf)).join(", ");
  let wanted: { host: Transfer["targets"][number]["host"]; port: number };
  try {
    wanted = parseTarget(text, text, 0);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw refuse("it is not ADDRESS or ADDRESS:PORT", `Name a target of -x: ${known}.`);
  }
  const isIt = ({ host, port }: Transfer["targets"][number]) =>
    (wanted.port === 0 || wanted.port === port) && isSameHost(wanted.host, host);
  const found = transfers.filter(({ targets }) => targets.some(isIt));
  if (found.length === 0) throw refuse("it is no target of -x", `Name one of these: ${known}.`);
  const group = found.find(({ targets }) => targets.length > 1);
  if (group === undefined) return found.map(({ label }) => label);
  throw refuse(
    `in -x "${group.label}" it gets only a part of the connections`,
    "Name it in a transfer of its own, so that it gets all requests that the new version gets.",
  );
}

type Host = Transfer["targets"][number]["host"];

function isSameHost(one: Host, other: Host): boolean {
  if ("name" in one || "name" in other)
    return "name" in one && "name" in other && one.name.toLowerCase() === other.name.toLowerCase();
  return sameAddress(one.address.bytes, other.address.bytes);
}

function endpointOf({ host, port }: Transfer["targets"][number]): string {
  return "name" in host ? `${host.name}:${port}` : formatEndpoint(host.address.bytes, port);
}

/** Where a report goes. */
export interface ReportFile {
  path: string;
  format: "html" | "json";
}

/** Values of `--report`. Throws a Failure (exit code 2). */
export function parseReportFiles(values: readonly string[]): ReportFile[] {
  const files = values.map((path): ReportFile => {
    const format = extname(path).slice(1).toLowerCase();
    if (format === "html" || format === "json") return { path, format };
    const fix = "Name a file that ends in .html, for people, or in .json, for programs.";
    throw new Failure(`Cannot use --report "${path}": its name does not say what to write`, fix, 2);
  });
  const twice = files.find(({ path }, index) => files.findIndex((other) => other.path === path) < index);
  if (!twice) return files;
  throw new Failure(`Cannot use --report "${twice.path}" twice`, "Leave one of them out.", 2);
}
