/** The object files of the kernel programs: how large their maps are, which they share, and their constants. */
import type { XdpProgram } from "../../filter/access.ts";
import { fillArrayOfMaps } from "../../native/bpf/create-map.ts";
import { BpfObject } from "../../native/bpf/object.ts";
import { LOCAL_MAPS, leaveOutLocal } from "../local-maps.ts";
import { settings, setWorkers, useRings } from "../maps.ts";
import type { KernelService } from "../services.ts";
import type { KernelCaptureOptions, KernelPath } from "./options.ts";
import { fillPaths } from "./paths.ts";
import { fillPrefixes, fillServices, isUdp } from "./services.ts";

/** By the program that captures by XDP: its name in the object. */
export const XDP_PROGRAMS: Record<XdpProgram, string> = {
  xdp: "xcopy_request_xdp",
  "xdp-linear": "xcopy_request_xdp_linear",
};
const FLOW_WORDS_PER_PATH = 65536 / 64;
/** Maps that the outgoing program shares with the request program; its records come in the same rings. */
const OUTGOING_SHARED = ["control", "counters", "rings", "packets", "lost", ...LOCAL_MAPS];

/** The request object, ready to load: with the program for tc, and one for XDP or none. */
export function openRequest(
  services: KernelService[],
  rings: number[],
  xdp: XdpProgram | null,
  options: KernelCaptureOptions,
): BpfObject {
  const request = new BpfObject("request", options.requestObject);
  for (const [name, program] of Object.entries(XDP_PROGRAMS)) if (name !== xdp) request.leaveOut(program);
  setWorkers(request, options.workers ?? 1);
  useRings(request, rings);
  for (const name of ["services", "datagram_services"]) {
    request.setMaxEntries(name, Math.max(1, services.length + (options.room?.services ?? 0)));
  }
  request.setConstants(settings({ ...options, takesDatagrams: takesDatagrams(services, options) }));
  if (!options.onlyLocal) leaveOutLocal(request);
  return request;
}

function takesDatagrams(
  services: KernelService[],
  { mayTakeDatagrams = false }: KernelCaptureOptions,
): boolean {
  return mayTakeDatagrams || services.some(isUdp);
}

/** Loads the outgoing object, which shares maps with the request object, and fills its own. Throws a Failure. */
export function loadOutgoing(outgoing: BpfObject, request: BpfObject, options: KernelCaptureOptions): void {
  const services = options.outgoingServices ?? [];
  for (const map of OUTGOING_SHARED) outgoing.reuse(map, request.mapFd(map));
  const room = options.room?.services ?? 0;
  for (const map of ["services", "datagram_services"])
    outgoing.setMaxEntries(map, Math.max(1, services.length + room));
  outgoing.setMaxEntries("prefixes", 1 + room + Math.max(0, ...services.map(({ index }) => index)));
  const { mark, onlyLocal = false } = options;
  const flags = { onlyLocal, takesDatagrams: takesDatagrams(services, options) };
  outgoing.setConstants(settings({ mark, ...flags }));
  outgoing.load();
  fillPrefixes(outgoing, services);
  fillServices(outgoing, services);
}

/** Loads the response object and fills its maps; there is room for `room` more paths. Throws a Failure. */
export function loadResponse(response: BpfObject, paths: KernelPath[], rings: number[], room: number): void {
  const most = Math.max(1, paths.length + room);
  useRings(response, rings);
  for (const name of ["paths", "datagram_paths"]) response.setMaxEntries(name, most);
  response.setMaxEntries("flows", most * FLOW_WORDS_PER_PATH);
  response.load();
  fillArrayOfMaps(response.mapFd("rings"), rings);
  fillPaths(response, paths);
}
