/** `--endpoint`: which requests of HTTP are one endpoint, by the user. */

export interface EndpointRule {
  /** Null: any. */
  method: string | null;
  /** The path as the user wrote it: `*` is one segment, `**` at its end the rest. */
  path: string;
}

/** A value of --endpoint: `GET /users/*`. Throws a Failure (exit code 2). */
export function parseEndpointRule(text: string): EndpointRule {
  const [, method, path] = /^(?:(\S+)\s+)?(\S*)$/s.exec(text) ?? [];
  return { method: method ?? null, path: path ?? text };
}
