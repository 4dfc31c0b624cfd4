/** What differs in the content of two answers: by path where both are JSON, else as one text. */
import { contrastOf } from "../looks/nature.ts";
import { decodeContent } from "./decode.ts";
import type { IgnoreRule } from "./ignore.ts";
import { type ContentDifference, differencesOfJson, readJson } from "./json.ts";

/** The content of one side, as it was sent. */
export interface Content {
  bytes: Uint8Array;
  /** Whether there was more of it. */
  isCut: boolean;
  /** Values of Content-Encoding and Content-Type; "" where there is none. */
  coding: string;
  type: string;
}

const utf8 = new TextDecoder("utf-8");
const latin1 = new TextDecoder("latin1");
const strict = new TextDecoder("utf-8", { fatal: true });
/** Bytes of content that is no text of which the sample shows the beginning. */
const SAMPLE = 32;
/** Characters around the first that differs. */
const BEFORE = 30;
const AFTER = 120;

/** Bytes without their codings, as text; null where they cannot be decoded. */
export function textOfContent(content: Content): string | null {
  const bytes = decodeContent(content.bytes, content.coding, content.isCut);
  if (bytes === null) return null;
  return (/charset="?(iso-8859-1|latin-?1|windows-1252)/i.test(content.type) ? latin1 : utf8).decode(bytes);
}

function isText(bytes: Uint8Array): boolean {
  try {
    return !strict.decode(bytes).includes("\0");
  } catch {
    return false;
  }
}

/** Where two texts begin to differ. */
function divergence(production: string, target: string): number {
  const most = Math.min(production.length, target.length);
  let at = 0;
  while (at < most && production.charCodeAt(at) === target.charCodeAt(at)) at++;
  return at;
}

function excerpt(text: string, at: number): string {
  const from = Math.max(0, at - BEFORE);
  const part = text.slice(from, at + AFTER);
  return `${from > 0 ? "..." : ""}${part}${at + AFTER < text.length ? "..." : ""}`;
}

function differencesOfText(production: string, target: string): ContentDifference[] {
  const contrast = contrastOf(production, target);
  if (contrast.nature === "id" || contrast.nature === "time") return [{ where: "", ...contrast }];
  const at = divergence(production, target);
  const parts = { production: excerpt(production, at), target: excerpt(target, at) };
  return [
    { where: "", nature: production.length + target.length > 200 ? "text" : contrast.nature, ...parts },
  ];
}

const hex = (bytes: Uint8Array) =>
  `${bytes.length} bytes: ${Buffer.from(bytes.subarray(0, SAMPLE)).toString("hex")}`;

/**
 * The differences of two contents that are not equal byte by byte: none where the documents are equal (JSON in another order, or another
 * content coding of the same). Never throws; takes some ms at most.
 */
export function differencesOfContent(
  production: Content,
  target: Content,
  ignore: readonly IgnoreRule[],
): ContentDifference[] {
  const ours = decodeContent(production.bytes, production.coding, production.isCut);
  const theirs = decodeContent(target.bytes, target.coding, target.isCut);
  if (ours === null || theirs === null)
    return [{ where: "", nature: "unknown", production: hex(production.bytes), target: hex(target.bytes) }];
  const isWhole = !production.isCut && !target.isCut;
  if (isWhole && Buffer.compare(ours, theirs) === 0) return [];
  if (!isText(ours) || !isText(theirs)) {
    // A character may be cut.
    if (isWhole) return [{ where: "", nature: "text", production: hex(ours), target: hex(theirs) }];
  }
  const [one, other] = [utf8.decode(ours), utf8.decode(theirs)];
  if (isWhole) {
    const [left, right] = [readJson(one), readJson(other)];
    const isObject = (value: unknown) => typeof value === "object" && value !== null;
    const isJson = isObject(left) || isObject(right) || /\bjson\b/i.test(production.type);
    if (isJson && left !== undefined && right !== undefined) {
      const found = differencesOfJson(left, right, ignore);
      if (found !== null) return found;
    }
  }
  if (one === other)
    return [{ where: "", nature: "unknown", production: "what was kept of it is equal", target: "" }];
  return differencesOfText(one, other);
}
