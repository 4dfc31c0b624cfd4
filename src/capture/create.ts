import type { Control } from "./control.ts";
import { RingSet } from "./ring-set.ts";
import type { RequestSource, SourceConfig } from "./source.ts";

/** The data plane's half of a back end; only one may exist for a configuration. `control` says what is left out. */
export function createSource(config: SourceConfig, _control: Control): RequestSource {
  return new RingSet(config.rings, config.ringBytes);
}
