/** What differs in one pair of answers. */
import { type Answer, MOST_BODY, type Pair } from "../pairs/pair.ts";
import { type Content, differencesOfContent } from "./content/content.ts";
import { fieldsOf } from "./content/head.ts";
import { contrastOf, type Nature } from "./looks/nature.ts";
import type { DifferenceKind } from "./report.ts";
import type { CompareSettings } from "./settings.ts";
import { isFailure, statusName } from "./words.ts";

export interface Found {
  kind: DifferenceKind;
  where: string;
  nature: Nature;
  production: string;
  target: string;
  /** Whether the target failed in it, and production did not. */
  isError: boolean;
}

/** Where content differs that nobody looked into. */
export const NOT_LOOKED_INTO = "(not looked into)";

const CODING = new Set(["content-encoding", "content-type"]);

export function isCut({ end }: Answer): boolean {
  return end === "reset" || end === "closed";
}

function found(
  kind: DifferenceKind,
  where: string,
  production: string,
  target: string,
  isError = false,
): Found {
  return { kind, where, nature: "shape", production, target, isError };
}

/**
 * Content of one side that may be looked into, with its coding and type. `isCut`: only its beginning was kept.
 */
export function contentOf(answer: Answer): Content | null {
  if (answer.body === null) return null;
  const fields = fieldsOf(answer.head, CODING);
  return {
    bytes: answer.body,
    isCut: answer.body.length >= MOST_BODY || answer.bytes > answer.body.length,
    coding: fields.get("content-encoding") ?? "",
    type: fields.get("content-type") ?? "",
  };
}

function differencesOfFields(production: Answer, target: Answer, names: ReadonlySet<string>): Found[] {
  const [ours, theirs] = [fieldsOf(production.head, names), fieldsOf(target.head, names)];
  return [...names].flatMap((name): Found[] => {
    const [one, other] = [ours.get(name), theirs.get(name)];
    if (one === other) return [];
    if (one === undefined) return [found("field", `${name} (added)`, "", other!)];
    if (other === undefined) return [found("field", `${name} (missing)`, one, "")];
    return [{ kind: "field", where: name, isError: false, ...contrastOf(one, other) }];
  });
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** Looks for differences, as the user asked for them. */
export class Differ {
  private readonly fields: ReadonlySet<string>;

  /** `mayLook`: whether there is time to look into content of so many bytes. */
  constructor(
    private readonly settings: CompareSettings,
    private readonly mayLook: (at: number, bytes: number) => boolean,
  ) {
    this.fields = new Set(settings.fields);
  }

  /**
   * The differences of a pair, none where it was not compared. An answer that is missing, cut short, or of another status is one
   * difference: what else differs then follows from it.
   */
  of(pair: Pair): readonly Found[] {
    const { production, target, protocol, outcome } = pair;
    if (outcome === "production only" && production !== null) {
      const failed = isFailure(protocol, production.status) || isCut(production);
      return [found("answer", "", statusName(protocol, production.status), "no response", !failed)];
    }
    if (outcome !== "compared" || production === null || target === null) return NONE;
    if (production.status !== target.status) {
      const [from, to] = [statusName(protocol, production.status), statusName(protocol, target.status)];
      const failed = isFailure(protocol, target.status) || isCut(target);
      const isError = failed && !isFailure(protocol, production.status) && !isCut(production);
      return [found("status", `${from} -> ${to}`, from, to, isError)];
    }
    if (isCut(production) !== isCut(target)) {
      const isError = isCut(target) && !isFailure(protocol, production.status);
      return [found("end", `${production.end} -> ${target.end}`, production.end, target.end, isError)];
    }
    const differences: Found[] = [];
    const hasFields = production.isHeadWhole && target.isHeadWhole && protocol === "http";
    if (hasFields && production.fields !== target.fields)
      differences.push(...differencesOfFields(production, target, this.fields));
    if (production.end !== "complete" || target.end !== "complete") return differences;
    if (production.count !== target.count && production.count >= 0 && target.count >= 0) {
      const [one, other] = [String(production.count), String(target.count)];
      return [...differences, found("count", "", one, other)];
    }
    if (production.digest !== null && target.digest !== null) {
      if (!isSame(production.digest, target.digest))
        differences.push(...this.content(pair, production, target));
    } else if (
      production.bytes !== target.bytes &&
      production.bytes >= 0 &&
      target.bytes >= 0 &&
      protocol !== "dns"
    ) {
      // DNS: compression of names decides it.
      const [one, other] = [String(production.bytes), String(target.bytes)];
      differences.push({ ...found("length", "", one, other), nature: "length" });
    }
    return differences;
  }

  private content(pair: Pair, production: Answer, target: Answer): Found[] {
    const [ours, theirs] = [contentOf(production), contentOf(target)];
    const isKept = ours !== null && theirs !== null;
    const bytes = isKept
      ? ours.bytes.length * (ours.coding ? 4 : 1) + theirs.bytes.length * (theirs.coding ? 4 : 1)
      : 0;
    if (!isKept || !this.mayLook(pair.at, bytes)) {
      const sizes = [production.bytes, target.bytes].map((size) => (size < 0 ? "" : `${size} bytes`));
      return [{ ...found("body", NOT_LOOKED_INTO, sizes[0]!, sizes[1]!), nature: "unknown" }];
    }
    return differencesOfContent(ours, theirs, this.settings.ignore).map((difference) => ({
      kind: "body",
      isError: false,
      ...difference,
      where: difference.nature === "unknown" ? NOT_LOOKED_INTO : difference.where,
    }));
  }
}

const NONE: readonly Found[] = [];
