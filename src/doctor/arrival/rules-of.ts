/** The netfilter rules of this host, listed once for all checks of a subject. */
import { type Listed, listRules } from "../../netfilter/listed/list.ts";
import type { Subject } from "../subject.ts";

const lists = new WeakMap<Subject, Promise<Listed>>();

export function rulesOf(subject: Subject): Promise<Listed> {
  const known = lists.get(subject);
  if (known) return known;
  const made = listRules();
  lists.set(subject, made);
  return made;
}
