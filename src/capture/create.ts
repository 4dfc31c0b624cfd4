import type { Control } from "./control.ts";
import { RingSet } from "./ring-set.ts";
import { PacketSource } from "./socket/packet-source.ts";
import { PcapSource } from "./socket/pcap-source.ts";
import { RawSource } from "./socket/raw-source.ts";
import type { RequestSource, SourceConfig } from "./source.ts";

/** The data plane's half of a back end; only one may exist for a configuration. `control` says what is left out. */
export function createSource(config: SourceConfig, control: Control): RequestSource {
  switch (config.kind) {
    case "rings":
      return new RingSet(config.rings, config.ringBytes);
    case "packet":
      return new PacketSource(config, control);
    case "raw":
      return new RawSource(config, control);
    case "pcap":
      return new PcapSource(config, control);
  }
}
