/** What `xcopy copy --dry-run` says about comparing answers and telling what was found. */
import { formatEndpoint, parseAddress } from "../../config/address.ts";
import type { AudienceOptions, CompareOptions } from "./options.ts";

function whatIsCompared({ body, prefix, fields }: CompareOptions): string {
  const what = `${fields.join(", ")}, lengths, times`;
  return body
    ? `status, ${what} and content, of whole responses of production and the target`
    : `status, ${what}, of the first ${prefix} bytes of each packet of production's responses and the target's`;
}

/** Lines: a name and a text. */
export function comparisonLines(
  compare: CompareOptions | null,
  { reports, web }: AudienceOptions,
): [name: string, text: string][] {
  const lines: [string, string | false][] = [
    ["compare", compare !== null && whatIsCompared(compare)],
    ["noise", (compare?.noise.length ?? 0) > 0 && `what differs in -x "${compare!.noise.join('", "')}" too`],
    [
      "fail",
      (compare?.bounds.length ?? 0) > 0 &&
        `with exit code 6 if one breaks: ${compare!.bounds.map(({ text }) => text).join(", ")}`,
    ],
    ...reports.map(({ path }): [string, string] => ["report", `to ${path}, at the end`]),
    [
      "page",
      web !== null &&
        `at http://${formatEndpoint(parseAddress(web.host)!.bytes, web.port)}/ ${web.token === null ? "for this host only" : "for those with the token"}`,
    ],
  ];
  return lines.flatMap(([name, text]) => (text ? [[name, text]] : []));
}
