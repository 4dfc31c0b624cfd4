/** The options of `xcopy copy` about comparing responses and telling what was found. */
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
    common: true,
    help: "compare the target's responses with production's: HTTP, MySQL and DNS",
    details:
      "heads: status, header fields, length and latency. body: the content as well. Alone it means heads",
  },
  {
    name: "compare-field",
    value: "LIST",
    values: "anything",
    multiple: true,
    help: "the header fields to compare, names separated by commas",
    default: COMPARED_FIELDS.join(","),
  },
  {
    name: "compare-prefix",
    value: "BYTES",
    values: "anything",
    help: "with --compare heads: capture this much of each packet of a response, 64 to 65535 bytes",
    default: "512",
  },
  {
    name: "endpoint",
    value: "RULE",
    values: "anything",
    multiple: true,
    help: "count requests that match this rule as one endpoint: 'GET /users/*'",
    details: "A rule without a method holds for all methods",
    default: "numbers, UUIDs, hashes and dates in paths become {id}",
  },
  {
    name: "ignore",
    value: "JSONPATH",
    values: "anything",
    multiple: true,
    help: "leave these values of JSON out of the comparison: '$.meta.*', '$.items[*].id'",
  },
  {
    name: "mask",
    value: "REGEX",
    values: "anything",
    multiple: true,
    help: "mask what matches this expression in all that is written",
    details: "Authorization, Cookie and Set-Cookie are always masked",
  },
  {
    name: "noise",
    value: "ADDRESS[:PORT]",
    values: "anything",
    multiple: true,
    help: "this target of -x runs production's own version: what differs there too is noise",
  },
  {
    name: "fail-on",
    value: "BOUNDS",
    values: "anything",
    help: "exit with code 6 if one of these bounds is broken at the end: 'errors>0.1%,p99>+20%'",
  },
  {
    name: "report",
    value: "FILE",
    values: "file",
    multiple: true,
    common: true,
    help: "at the end write a report: a .html page, or .json",
  },
  {
    name: "web",
    value: "[ADDRESS:]PORT",
    values: "anything",
    common: true,
    help: "serve the report as a live page",
    details:
      "It also has /metrics for Prometheus, and /api/account. Without an address it can be reached from this host only",
  },
  {
    name: "web-token",
    value: "FILE",
    values: "file",
    help: "the token that visitors of the page must give, in a file that only its owner may read",
    details: "Needed for every address of --web but this host's own",
  },
];
