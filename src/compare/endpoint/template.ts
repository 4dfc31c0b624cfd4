/** Path templates: requests that differ only in ids are of one endpoint. Takes any text, never throws. */
import { isLikelyId } from "../looks/ids.ts";

const ID = "{id}";
/** A version of an interface or of a library is part of a name: `v1`, `v2.1`, `jquery-3.6.0`. */
const VERSION = /^v\d+(\.\d+)*$|\d+\.\d+\.\d+/i;
/** Segments with more characters are no names. */
const LONG = 80;
/** Characters of a template; the rest is `...`. */
export const MOST_TEMPLATE = 200;

const SEPARATORS = /([-_.:~,;@=+!$'()]+)/;

/** Whether a segment can be judged by its letters alone, which most are: no digit, no `%`, no `@`, not long. */
function isPlain(text: string, from: number, to: number): boolean {
  if (to - from >= 16) return false;
  for (let index = from; index < to; index++) {
    const code = text.charCodeAt(index);
    if (code < 65 ? code !== 45 && code !== 46 : code === 0x7b || code > 122) return false;
  }
  return true;
}

/** Percent-encoded text, decoded where that gives UTF-8. */
function decoded(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function templateOfSegment(segment: string): string {
  const text = decoded(segment);
  if (text.length > LONG || isLikelyId(text) || /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(text)) return ID;
  if (VERSION.test(text)) return segment;
  const parts = text.split(SEPARATORS);
  if (parts.length === 1) return /^\D+\d{4,}$/.test(text) ? `${text.replace(/\d+$/, "")}${ID}` : segment;
  let isChanged = false;
  const template = parts.map((part, index) => {
    if (index % 2 === 1 || !isLikelyId(part)) return part;
    isChanged = true;
    return ID;
  });
  return isChanged ? template.join("") : segment;
}

/**
 * The template of a path or of any other request target of HTTP (RFC 9112 section 3.2), without query, fragment and parameters
 * (`;jsessionid=`): numbers, UUIDs, hashes, dates, ULIDs, mail addresses and what looks like base64 become `{id}`, also as a part of a
 * segment (`order-{id}.json`). What it cannot judge stays as it is.
 */
export function templateOf(target: string): string {
  const end = target.search(/[?#;]/);
  const path = end < 0 ? target : target.slice(0, end);
  let from = 0;
  let start = "";
  if (path.charCodeAt(0) !== 0x2f) {
    // Absolute form: the host is part of the name. Authority form and "*" have no segments.
    const host = /^[a-z][a-z0-9+.-]*:\/\/[^/]*/i.exec(path)?.[0];
    if (host === undefined) return cut(path);
    start = host;
    from = host.length;
  }
  let template = start;
  while (from < path.length && template.length <= MOST_TEMPLATE) {
    const slash = path.indexOf("/", from + 1);
    const to = slash < 0 ? path.length : slash;
    if (isPlain(path, from + 1, to)) template += path.slice(from, to);
    else template += `/${templateOfSegment(path.slice(from + 1, to))}`;
    from = to;
  }
  return cut(template);
}

function cut(text: string): string {
  return text.length <= MOST_TEMPLATE ? text : `${text.slice(0, MOST_TEMPLATE)}...`;
}

/** The same for the name of a question of DNS: labels that look like ids (and not like a host's number, as `ns1`) become `{id}`. */
export function templateOfName(name: string): string {
  const labels = name.split(".", 128);
  // The two last are the domain, except where it is of addresses.
  const isReverse = /\.arpa\.?$/i.test(name);
  const kept = name.endsWith(".") ? 3 : 2;
  const template = labels.map((label, index) =>
    index < labels.length - kept && (isReverse || isLikelyId(label)) ? ID : label,
  );
  // Addresses have one label for each number, of IPv6 for each digit.
  return cut(template.join(".").replace(/^(\{id\}\.)+/, isReverse ? `${ID}.` : "$&"));
}
