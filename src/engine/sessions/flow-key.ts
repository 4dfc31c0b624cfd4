/** The key of a captured packet's flow, as `ClientFlows` looks it up. */
import { DESTINATION, readAddress, SOURCE } from "../../wire/address-words.ts";
import type { Packet } from "../../wire/packet.ts";
import { CLIENT_ADDRESS, CLIENT_PORTS, ONLINE_ADDRESS } from "./table.ts";

/** Writes the flow of a client's packet into `key`, except COPY. */
export function fillFlowKey(key: Int32Array, packet: Packet): void {
  readAddress(packet, SOURCE, key, CLIENT_ADDRESS);
  readAddress(packet, DESTINATION, key, ONLINE_ADDRESS);
  key[CLIENT_PORTS] = packet.view.getInt32(packet.tcp);
}

/** The same for a packet that the server sent to the client. */
export function fillOutgoingFlowKey(key: Int32Array, packet: Packet): void {
  readAddress(packet, DESTINATION, key, CLIENT_ADDRESS);
  readAddress(packet, SOURCE, key, ONLINE_ADDRESS);
  key[CLIENT_PORTS] = (packet.destinationPort << 16) | packet.sourcePort;
}
