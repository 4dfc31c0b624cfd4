/** `--endpoint`: which requests of HTTP are one endpoint, by the user. */
import { Failure } from "../../native/failure.ts";

export interface EndpointRule {
  /** In capitals; null: any. */
  method: string | null;
  /** The path as the user wrote it: the endpoint's name. */
  path: string;
  /** Its segments; `*` is any one. */
  segments: readonly string[];
  /** Whether it ends with `**`: any number of segments more, none too. */
  hasRest: boolean;
}

const FIX =
  "Write a method, if it matters, and a path in which * is one segment, and ** at its end the rest: 'GET /users/*/orders'.";

/** A value of --endpoint: `GET /users/*`, `/static/**`. Throws a Failure (exit code 2). */
export function parseEndpointRule(text: string): EndpointRule {
  const refuse = (cause: string) => new Failure(`Cannot use --endpoint "${text}": ${cause}`, FIX, 2);
  const [, method, path] = /^\s*(?:([^\s/]+)\s+)?(\S+)\s*$/s.exec(text) ?? [];
  if (path === undefined) throw refuse("it is not a method and a path");
  if (method !== undefined && !/^[A-Za-z*-]{1,20}$/.test(method)) throw refuse(`"${method}" is no method`);
  if (!path.startsWith("/")) throw refuse("its path does not begin with /");
  if (/[?#]/.test(path)) throw refuse("queries are not part of an endpoint");
  const segments = path.slice(1).split("/");
  const hasRest = segments.at(-1) === "**";
  if (hasRest) segments.pop();
  const wrong = segments.find((segment) => segment.includes("*") && segment !== "*");
  if (wrong !== undefined)
    throw refuse(wrong === "**" ? "** is not at its end" : `"${wrong}" is more than a *`);
  const any = method === undefined || method === "*";
  return { method: any ? null : method!.toUpperCase(), path, segments, hasRest };
}

/** Whether a rule is about a request with this target. */
export function fits(rule: EndpointRule, method: string, target: string): boolean {
  if (rule.method !== null && rule.method !== method) return false;
  const end = target.search(/[?#]/);
  const path = (end < 0 ? target : target.slice(0, end)).replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "");
  if (!path.startsWith("/")) return false;
  let from = 1;
  for (const segment of rule.segments) {
    if (from > path.length) return false;
    const slash = path.indexOf("/", from);
    const to = slash < 0 ? path.length : slash;
    if (segment === "*" ? to === from : segment !== path.slice(from, to)) return false;
    from = to + 1;
  }
  return rule.hasRest || from > path.length;
}
