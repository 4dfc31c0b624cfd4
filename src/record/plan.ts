/** Makes the plan of `xcopy record`: all that will be done, from the options and this host, before any of it is done. */
import { lookup } from "node:dns/promises";
import { formatAddress } from "../config/address.ts";
import { chooseInterfaces, type Interface } from "../config/interfaces.ts";
import { MYSQL_PORT } from "../config/protocol.ts";
import type { Lookup } from "../config/transfer.ts";
import { localTest } from "../host/local-addresses.ts";
import { Failure } from "../native/failure.ts";
import { links } from "../native/netlink/netlink.ts";
import { type FilesOptions, STANDARD_OUTPUT } from "./files.ts";
import { KNOWN_CONVERSIONS, nameOf, unknownConversion } from "./names.ts";
import type { RecordOptions } from "./options.ts";
import {
  filterText,
  formatRecordedService,
  type RecordedService,
  resolveRecordedServices,
} from "./service.ts";

export interface RecordPlan {
  services: RecordedService[];
  interfaces: Interface[];
  files: FilesOptions;
  /** Name of the first file, if no file has that name yet. */
  firstName: string;
  /** What is captured, in the pcap-filter language. */
  filter: string;
  /** The comments in the files. */
  comments: string[];
  warnings: string[];
}

/** What a plan is made from besides the options. */
export interface RecordHost {
  lookup: Lookup;
  interfaces: Interface[];
  isLocal(address: Uint8Array): boolean;
  isTerminal: boolean;
}

export function thisRecordHost(): RecordHost {
  return {
    lookup: (name) => lookup(name, { all: true }),
    interfaces: links(),
    isLocal: localTest(),
    isTerminal: process.stdout.isTTY === true,
  };
}

/** `requests to port 80 and 10.0.0.1:443`. */
export function whatIsRecorded(services: RecordedService[], { both }: RecordOptions): string {
  const names = services.map(formatRecordedService).join(", ");
  return `requests to ${names}${both ? " and the responses" : ""}`;
}

/** The comments that tell a reader of the file how it was recorded. */
function commentsOn(services: RecordedService[], options: RecordOptions): string[] {
  const { sample, acks, snaplen } = options;
  return [
    `xcopy record: ${whatIsRecorded(services, options)}, from the IP header on`,
    sample < 1
      ? `${Number((sample * 100).toFixed(4))} % of the connections, all of each`
      : "all connections (no sampling)",
    acks
      ? "pure ACKs are recorded"
      : "pure ACKs are left out, except those that end a handshake (packets without data, SYN, FIN or RST)",
    ...(snaplen === null ? [] : [`packets are cut to ${snaplen} bytes`]),
    "packets may be larger than on the wire, as the network card or the kernel joins them (GRO), and checksums may not be computed yet",
  ];
}

function filesOf(options: RecordOptions, { isTerminal }: RecordHost): FilesOptions {
  const { write, rotateSize, rotateTime, compress, overwrite, keep } = options;
  if (write === STANDARD_OUTPUT && isTerminal) {
    throw new Failure(
      'Cannot use -w "-": standard output is a terminal',
      'Let a program read it, "xcopy record ... -w - | tshark -r -", or name a file.',
      2,
    );
  }
  const unknown = unknownConversion(write);
  if (unknown !== null) {
    throw new Failure(
      `Cannot use -w "${write}": there is no conversion "${unknown}"`,
      `Use ${KNOWN_CONVERSIONS}, where %% stands for a %.`,
      2,
    );
  }
  return {
    path: write,
    rotates: rotateSize !== null || rotateTime !== null,
    compressed: compress,
    overwrite,
    keep,
  };
}

function withoutAnswers({ label }: RecordedService): string {
  return `Without --both it is not recorded whom the MySQL server of -x "${label}" lets in: a replay needs --trust-logins then.`;
}

/** The plan of recording with these options on this host. Throws a Failure if it cannot be done. */
export async function makeRecordPlan(options: RecordOptions, host: RecordHost): Promise<RecordPlan> {
  const services = await resolveRecordedServices(options.services, host.lookup);
  const files = filesOf(options, host);
  const foreign = services.filter(({ address }) => address && !host.isLocal(address.bytes));
  return {
    services,
    interfaces: chooseInterfaces(options.interfaces, host.interfaces),
    files,
    firstName: files.path === STANDARD_OUTPUT ? "standard output" : nameOf(files, new Date(), 1),
    filter: filterText(services, options.both),
    comments: commentsOn(services, options),
    warnings: [
      ...foreign.map(
        ({ label, address }) =>
          `${formatAddress(address!.bytes)} in -x "${label}" is not an address of this host.`,
      ),
      ...(options.both ? [] : services.filter(({ port }) => port === MYSQL_PORT).map(withoutAnswers)),
    ],
  };
}
