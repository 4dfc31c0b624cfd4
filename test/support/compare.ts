/** Were the requests of online copied exactly once each? */

export interface Comparison {
  /** Answered by online, not by the target. */
  missing: string[];
  /** More often at the target than at online. */
  doubled: string[];
  /** At the target, never at online. */
  foreign: string[];
}

/** What a perfect copy compares to. */
export const EXACTLY_ONCE: Comparison = { missing: [], doubled: [], foreign: [] };

/** Compares the two as multisets; a content that is missing or doubled several times is listed as often. */
export function compareContents(online: Iterable<string>, target: Iterable<string>): Comparison {
  const expected = count(online);
  const arrived = count(target);
  const result: Comparison = { missing: [], doubled: [], foreign: [] };
  for (const [content, times] of expected) {
    const difference = times - (arrived.get(content) ?? 0);
    for (let index = 0; index < difference; index++) result.missing.push(content);
  }
  for (const [content, times] of arrived) {
    const wanted = expected.get(content) ?? 0;
    const kind = wanted === 0 ? result.foreign : result.doubled;
    for (let index = wanted; index < times; index++) kind.push(content);
  }
  return result;
}

function count(contents: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const content of contents) counts.set(content, (counts.get(content) ?? 0) + 1);
  return counts;
}
