/** What the main thread tells a data plane that runs, as plain data; and what it hears back. */
import type { AnsweringService, KernelService } from "../../capture/services.ts";
import type { EngineNumbers, Route } from "../../engine/engine.ts";
import type { PathConfig } from "../../inject/path.ts";
import type { ProtocolName } from "../../protocol/names.ts";

/** Numbers that may change, with the units of DataPlaneConfig. */
export interface LiveNumbers extends EngineNumbers {
  sample: number;
  ramp: number;
  /** CPUs that all workers together may use; 0: as much as they need. */
  cpuLimit: number;
  /** UDP: see DatagramsConfig. */
  datagramTimeout: number;
  datagramIdleTimeout: number;
  /** Requests of a recording that start per second; 0: no limit. */
  rate: number;
  /** See changeNumbers (src/engine/change.ts). */
  round: number;
  since: number;
}

/** A new path; it gets the next number. */
export interface OpenedPath {
  /** Its `egress` may be one that is published next, with its way. */
  config: PathConfig;
  /** The way that it is of; whether nothing may be sent on that, as it is new or gone. */
  way: number;
  isHeld: boolean;
  /** Bytes. */
  mtu: number;
  /** See ChannelConfig; null: there are no intercepts. */
  probeFrom: Uint8Array | null;
}

/** Paths that will be used, if their targets answer. */
export interface Opening {
  paths: OpenedPath[];
  /** Numbers of the paths that are tried, and whether they are tried at all. */
  tries: number[];
  isTried: boolean;
}

/** A service as it is from now on. */
export interface LiveService {
  label: string;
  transport?: "udp";
  /** As in EngineConfig: those that the service had keep their places. */
  routes: Route[];
  protocol: ProtocolName | null;
}

export interface ChangedServices {
  /** Those that changed, by their numbers; new ones have the next. */
  services: { index: number; config: LiveService }[];
  /** All services that are captured from now on, and those of which what they send is. */
  captured: KernelService[];
  answering: AnsweringService[];
  /** us that the sessions of targets that are gone have to end by themselves. */
  drain: number;
}

/** One change. The next one comes when every data plane has taken this one. What is absent stays. */
export interface PlaneNews {
  numbers?: LiveNumbers;
  opening?: Opening;
  services?: ChangedServices;
}

/** A data plane has taken what was published as version `taken`. `found`: what trying the paths of `opening` found; `ending`:
 * how many sessions end as their targets are gone. */
export interface NewsTaken<F = unknown> {
  taken: number;
  found?: F;
  ending: number;
}

/** How many more services, paths and ways there is room for than there were at the start. */
export const SPARE = { services: 64, paths: 64, ways: 64 };

/** Bytes of news, at most. */
export const NEWS_BYTES = 256 << 10;
