/** Reads and checks the options about comparing answers, and about who is told of it: reports, the live page. */
import type { Arguments } from "../../command-line/reading/arguments.ts";
import { type Bound, parseBounds } from "../../compare/bounds.ts";
import { type IgnoreRule, parseIgnore } from "../../compare/content/ignore.ts";
import { type EndpointRule, parseEndpointRule } from "../../compare/endpoint/rules.ts";
import { type Mask, parseMask } from "../../compare/mask/pattern.ts";
import { parseWhole } from "../../config/number.ts";
import type { Transfer } from "../../config/transfer.ts";
import { parseWeb, type WebAddress } from "../../config/web.ts";
import { Failure } from "../../native/failure.ts";
import type { PairConfig } from "../../pairs/pair.ts";
import { parseFields, parseNoise, parseReportFiles, type ReportFile } from "./values.ts";

/** What `--compare` asks for. */
export interface CompareOptions {
  /** Whether content is compared, by its hash; else only heads and lengths. */
  body: boolean;
  /** Bytes of each segment of an answer that are captured, where only heads are compared. */
  prefix: number;
  /** Names of the fields of HTTP that are compared, in lower case. */
  fields: readonly string[];
  endpoints: readonly EndpointRule[];
  ignore: readonly IgnoreRule[];
  masks: readonly Mask[];
  /** Labels of the transfers to targets with the old version. */
  noise: readonly string[];
  /** Those of --fail-on. */
  bounds: readonly Bound[];
}

/** Who is told what the run found. */
export interface AudienceOptions {
  reports: readonly ReportFile[];
  /** Where the live page is served; null: nowhere. */
  web: WebAddress | null;
}

/** Bytes of a segment of which a head is read; with more than that, heads of this length are seen only in part. */
const PREFIX = 512;

/** Options that mean nothing without --compare. */
const OF_COMPARE = ["compare-prefix", "compare-field", "endpoint", "ignore", "mask", "noise", "fail-on"];

function refuse(option: string, cause: string, fix: string): never {
  throw new Failure(`Cannot use ${option}: ${cause}`, fix, 2);
}

/** As written, for a message: `--noise "10.0.0.3"`. */
function written(args: Arguments, name: string): string {
  const value = args.get(name)![0];
  return value ? `--${name} "${value}"` : `--${name}`;
}

function refuseContradictions(args: Arguments): void {
  if (!args.has("compare")) {
    const lonely = OF_COMPARE.find((name) => args.has(name));
    if (lonely) refuse(written(args, lonely), "nothing is compared", "Add --compare, or leave it out.");
    return;
  }
  const body = args.get("compare")![0] === "body";
  if (args.has("compat"))
    refuse(
      "--compare",
      "it reads the responses of the target, and an intercept 1.x sends only their headers",
      "Run xcopy intercept on the target, or leave -s and --compat out.",
    );
  if (args.has("no-wait") && !args.get("protocol")?.some((value) => value.endsWith("http")))
    refuse(
      "-W with --compare",
      "which response is to which request is known only where requests wait for their responses",
      "Leave -W out, or name services that speak HTTP: --protocol http.",
    );
  if (args.get("capture")?.[0] === "raw")
    refuse(
      "--compare",
      "raw IP sockets (--capture raw) do not see what production answers",
      "Leave --capture out, or name packet, pcap, tcx or clsact.",
    );
  if (body && args.has("compare-prefix"))
    refuse(
      written(args, "compare-prefix"),
      "with --compare body responses are captured whole",
      "Leave it out.",
    );
  if (!body && args.has("ignore"))
    refuse(
      written(args, "ignore"),
      "it is about content, and only heads are compared",
      "Write --compare body.",
    );
}

/** What is compared; null: nothing. Throws a Failure (exit code 2). */
export function parseCompare(args: Arguments, transfers: readonly Transfer[]): CompareOptions | null {
  refuseContradictions(args);
  if (!args.has("compare")) return null;
  const all = (name: string) => args.get(name) ?? [];
  const prefix = args.get("compare-prefix")?.[0];
  return {
    body: all("compare")[0] === "body",
    prefix:
      prefix === undefined
        ? PREFIX
        : parseWhole("--compare-prefix", prefix, { first: 64, last: 65535, unit: "bytes" }),
    fields: parseFields(all("compare-field")),
    endpoints: all("endpoint").map(parseEndpointRule),
    ignore: all("ignore").map(parseIgnore),
    masks: all("mask").map(parseMask),
    noise: [...new Set(all("noise").flatMap((value) => parseNoise(value, transfers)))],
    bounds: all("fail-on").flatMap(parseBounds),
  };
}

/** Who is told. Throws a Failure (exit code 2). */
export function parseAudience(args: Arguments): AudienceOptions {
  if (args.has("web-token") && !args.has("web"))
    refuse(written(args, "web-token"), "there is no live page", "Add --web, or leave it out.");
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const web = one("web");
  return {
    reports: parseReportFiles(args.get("report") ?? []),
    web: web === null ? null : parseWeb(web, one("web-token")),
  };
}

/** Bytes of content that all workers keep at most for requests that wait for an answer. */
const CONTENT = 64 << 20;
/** And of heads alone. */
const HEADS = 16 << 20;

/** What the workers are told; `memory` is that of all together. */
export function pairConfig({ body, fields }: CompareOptions): PairConfig {
  return { body, fields, memory: body ? CONTENT : HEADS };
}
