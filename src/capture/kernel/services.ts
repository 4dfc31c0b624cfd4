/** The services in the maps of the request and outgoing programs. */
import { updateMap } from "../../native/bpf/create-map.ts";
import { deleteElement } from "../../native/bpf/map.ts";
import type { BpfObject } from "../../native/bpf/object.ts";
import { prefixWord } from "../../wire/prefix.ts";
import { addressKey, fillPortsOfBoth, words } from "../maps.ts";
import type { AnsweringService, KernelService } from "../services.ts";

/** Tells the outgoing program how much it captures of what each service sends. Throws a Failure. */
export function fillPrefixes(outgoing: BpfObject, services: readonly AnsweringService[]): void {
  for (const { index, payload } of services)
    updateMap(outgoing.mapFd("prefixes"), words(index), words(prefixWord(payload)));
}

/** Whether a service is one of UDP. */
export function isUdp({ transport }: KernelService): boolean {
  return transport === "udp";
}

function servicesMap(object: BpfObject, { transport }: KernelService): number {
  return object.mapFd(transport === "udp" ? "datagram_services" : "services");
}

function serviceKey({ address, port, family }: KernelService): Uint8Array {
  return addressKey([address], port, family);
}

/** Adds services that are new, and removes those that are not there any more; those that stay are never missing. */
export function replaceServices(
  object: BpfObject,
  before: readonly KernelService[],
  services: readonly KernelService[],
): void {
  const nameOf = (service: KernelService) => `${service.transport} ${serviceKey(service)}`;
  const present = new Set(services.map(nameOf));
  fillServices(object, services);
  for (const gone of before)
    if (!present.has(nameOf(gone))) deleteElement(servicesMap(object, gone), serviceKey(gone));
}

/** Fills the maps of a request or outgoing program with its services. */
export function fillServices(object: BpfObject, services: readonly KernelService[]): void {
  for (const service of services)
    updateMap(servicesMap(object, service), serviceKey(service), words(service.index));
  fillPortsOfBoth(object, services);
}
