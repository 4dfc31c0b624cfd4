/** The plan of `xcopy copy`: all that will be done. src/copy/plan makes it, before any of it is done. */
import type { Key } from "../channel/key.ts";
import type { InterceptAddress } from "../config/intercepts.ts";
import type { Interface } from "../config/interfaces.ts";
import type { PortRange } from "../config/ports.ts";
import type { Service, Target } from "../config/transfer.ts";
import type { EgressConfig, PathConfig } from "../inject/path.ts";
import type { CopyOptions } from "./options.ts";
import type { PlannedWay } from "./ways/way.ts";
import type { WorkerPlan } from "./worker-plan.ts";

/** A target and the ways to it. */
export interface PlannedTarget extends Target {
  /** Indexes into the paths of the plan, one per source address. */
  paths: number[];
}

export interface Plan {
  services: Service<PlannedTarget>[];
  paths: PathConfig[];
  egresses: EgressConfig[];
  /** The way to each distinct target; each path is of one. */
  ways: PlannedWay[];
  ports: PortRange[];
  workers: WorkerPlan;
  /** Where answers are caught; empty: at this host's own address. */
  intercepts: InterceptAddress[];
  /** What the intercepts have too; null: --insecure, --compat, or there are none. */
  key: Key | null;
  /** By path: the source address of its preflight connection; empty without intercepts. */
  probeFrom: Uint8Array[];
  /** Whether copies come from the addresses of -c. */
  usesPool: boolean;
  /** Whether a copied connection has the port of its client too. */
  keepsClientPorts: boolean;
  /** Where requests are captured. */
  interfaces: Interface[];
  /** Whether that is every interface that is up, also those that come later; else those with these names. */
  followsAll: boolean;
  /** Where recorded requests are read instead: paths, or "-" for standard input. */
  files: string[];
  /** What may be wrong, for the user to judge. */
  warnings: string[];
}

/** How often a session is copied, over all targets: the most of any service. */
export function copiesOf({ services }: Plan, { replicas }: CopyOptions): number {
  return replicas * Math.max(...services.map(({ routes }) => routes.length));
}
