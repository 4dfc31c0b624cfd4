/** Statuses, shares and times, in words for people. */
import type { PairProtocol } from "../pairs/pair.ts";

// RFC 1035 section 4.1.1, RFC 6895 section 2.3.
const RCODES = [
  "NOERROR",
  "FORMERR",
  "SERVFAIL",
  "NXDOMAIN",
  "NOTIMP",
  "REFUSED",
  "YXDOMAIN",
  "YXRRSET",
  "NXRRSET",
  "NOTAUTH",
  "NOTZONE",
];

/** A status as its protocol names it: `500`, `error 1064`, `SERVFAIL`. */
export function statusName(protocol: PairProtocol, status: number): string {
  if (protocol === "mysql") return status === 0 ? "OK" : `error ${status}`;
  return protocol === "dns" ? (RCODES[status] ?? `RCODE ${status}`) : String(status);
}

/** Whether a status says that the service failed: HTTP 5xx, an error of MySQL, SERVFAIL. */
export function isFailure(protocol: PairProtocol, status: number): boolean {
  return protocol === "http" ? status >= 500 : protocol === "mysql" ? status !== 0 : status === 2;
}

/** `1,234`. */
export function number(value: number): string {
  return value.toLocaleString("en-US");
}

/** `1,234 requests`, `1 request`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** A share (0 to 1) in percent; never `0 %` or `100 %` unless that is exact. */
export function percent(share: number): string {
  if (share === 0 || share === 1) return `${100 * share} %`;
  if (share < 0.0001) return "less than 0.01 %";
  if (share > 0.9999 && share < 1) return "more than 99.99 %";
  return `${Number((100 * share).toPrecision(share < 0.1 ? 2 : 3))} %`;
}

/** us: `340 us`, `1.2 ms`, `310 ms`, `3.1 s`. */
export function time(us: number): string {
  if (us < 1000) return `${Math.round(us)} us`;
  const [value, unit] = us < 1e6 ? [us / 1000, "ms"] : [us / 1e6, "s"];
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${unit}`;
}

// C0, C1, what turns the direction of text, and what separates lines: nothing of that may reach a terminal.
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text from the network for one line: well-formed, without control characters, at most so many characters. */
export function oneLine(text: string, most = 200): string {
  const line = (text.length > most ? `${text.slice(0, most)}...` : text).toWellFormed();
  return line.replace(CONTROLS, "\ufffd");
}

/** The same for text of several lines: only line ends (LF) and tabs are left. */
export function severalLines(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?/g, "\n")
    .replace(CONTROLS, (control) => (control === "\n" || control === "\t" ? control : "\ufffd"));
}
