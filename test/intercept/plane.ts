/** The configuration of an intercept's data plane that catches nothing by itself. */
import type { InterceptPlaneConfig } from "../../src/intercept/data-plane/config.ts";
import { createInterceptShared } from "../../src/intercept/data-plane/shared.ts";

export function planeConfig(): InterceptPlaneConfig {
  return {
    mode: "assistant",
    rings: [],
    ringBytes: 0,
    controlMap: -1,
    cookiesMap: -1,
    ownersMap: -1,
    learnedMap: -1,
    registeredMap: -1,
    inherits: false,
    datagramFlowsMap: -1,
    queue: null,
    listeners: [],
    key: null,
    insecure: false,
    compat: null,
    services: [],
    maxFlows: 1024,
    noClients: [],
    linger: 120e6,
    translations: [],
    dnat: false,
    pass: [],
    hook: "tcx",
    interfaces: [],
    version: "1",
    rules: null,
    shared: createInterceptShared(),
  };
}
