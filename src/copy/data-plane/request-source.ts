/** Where live requests come from: the data plane's half of each back end of the capture. */
import type { Control } from "../../capture/control.ts";
import { RingSet } from "../../capture/ring-set.ts";
import { PacketSource } from "../../capture/socket/packet-source.ts";
import { PcapSource } from "../../capture/socket/pcap-source.ts";
import { RawSource } from "../../capture/socket/raw-source.ts";
import type { RequestSource, SourceConfig } from "../../capture/source.ts";

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
