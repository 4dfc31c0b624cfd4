/** Which endpoints have series of their own in /metrics: a bounded number, each for good, so that no counter ever falls. */
import type { Endpoint } from "../compare/report.ts";

/** Endpoints with series of their own at most; all others share one for each service. */
const MOST = 100;
/** Characters of a label at most. */
const MOST_LABEL = 200;

type Named = Pick<Endpoint, "service" | "protocol" | "method" | "name">;

export interface EndpointLabels {
  service: string;
  protocol: string;
  method: string;
  endpoint: string;
  [label: string]: string;
}

export interface Places {
  /** Gives what places are left to the most frequent endpoints that have none. */
  fill(endpoints: readonly Endpoint[]): void;
  labelsOf(endpoint: Named): EndpointLabels;
}

const short = (text: string) => (text.length > MOST_LABEL ? `${text.slice(0, MOST_LABEL - 1)}\u2026` : text);

function ownLabels({ service, protocol, method, name }: Named): EndpointLabels {
  return { service, protocol, method: short(method), endpoint: short(name) };
}

export function createPlaces(): Places {
  const taken = new Set<string>();
  const keyOf = (endpoint: Named) => JSON.stringify(ownLabels(endpoint));
  return {
    fill: (endpoints) => {
      if (taken.size >= MOST) return;
      const byCount = endpoints.toSorted((one, other) => other.count - one.count);
      for (const endpoint of byCount) if (taken.size < MOST) taken.add(keyOf(endpoint));
    },
    labelsOf: (endpoint) => {
      if (taken.has(keyOf(endpoint))) return ownLabels(endpoint);
      const { service, protocol } = endpoint;
      return { service, protocol, method: "", endpoint: "(others)" };
    },
  };
}
