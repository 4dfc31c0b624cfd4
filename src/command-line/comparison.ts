/** The options of `xcopy copy` about comparing answers and telling what was found. */
import type { Option } from "./command.ts";

/**
 * The fields that are compared without --compare-field: what tells a client how to take the content, where to go and what to keep.
 * Not Set-Cookie, whose values differ by their nature.
 */
export const COMPARED_FIELDS = ["content-type", "content-encoding", "location", "cache-control"];

/** The group "What the new version did". */
export const COMPARISON: Option[] = [
  {
    name: "compare",
    value: "heads|body",
    choices: ["heads", "body"],
    help: "compare the target's answers with production's (HTTP, MySQL, DNS): status, header fields, length and latency, and with body the content as well; alone it means heads",
  },
  {
    name: "compare-field",
    value: "LIST",
    multiple: true,
    help: `the header fields that are compared, names with commas between them (default: ${COMPARED_FIELDS.join(",")})`,
  },
  {
    name: "compare-prefix",
    value: "BYTES",
    help: "where only heads are compared, capture this many bytes of each packet of an answer, 64 to 65535 (default: 512)",
  },
  {
    name: "endpoint",
    value: "RULE",
    multiple: true,
    help: "requests that this matches are one endpoint: 'GET /users/*', without a method for all of them (default: numbers, UUIDs, hashes and dates in paths become {id})",
  },
  {
    name: "ignore",
    value: "JSONPATH",
    multiple: true,
    help: "leave these values out of the comparison of JSON: '$.meta.*', '$.items[*].id'",
  },
  {
    name: "mask",
    value: "REGEX",
    multiple: true,
    help: "write what matches this nowhere, as Authorization, Cookie and Set-Cookie, which are always masked",
  },
  {
    name: "noise",
    value: "ADDRESS[:PORT]",
    multiple: true,
    help: "this target of -x runs the version that production runs: what differs there too is noise",
  },
  {
    name: "fail-on",
    value: "BOUNDS",
    help: "exit with code 6 if one of these is broken at the end, such as 'errors>0.1%,p99>+20%'",
  },
  {
    name: "report",
    value: "FILE",
    multiple: true,
    help: "write at the end what was found, to a page (.html) or for programs (.json)",
  },
  {
    name: "web",
    value: "[ADDRESS:]PORT",
    help: "serve the report as a live page, with /metrics for Prometheus and /api/account (without an address: to this host only)",
  },
  {
    name: "web-token",
    value: "FILE",
    help: "the token that who asks for the page must have, which every address but this host's own needs: a file that only its owner may read",
  },
];
