/** The kernel and the libraries: what xcopy finds of them here. */
import { carriedLibraries } from "../../host/carried-libraries.ts";
import { openLibbpf } from "../../native/bpf/libbpf.ts";
import { Failure } from "../../native/failure.ts";
import { compileExpression, DLT_EN10MB } from "../../native/libpcap.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Subject } from "../subject.ts";

/** Its version and BTF. What it lets xcopy load is tried, and not told from its version: see programs.ts. */
export function checkKernel({ read }: Pick<Subject, "read">): Finding[] {
  const about = findingsAbout("host.kernel", "kernel");
  const release = read("/proc/sys/kernel/osrelease")?.trim() ?? "of unknown version";
  const [major, minor] = release.split(".").map(Number);
  const text = `Linux ${release}`;
  if (major! < 5 || (major === 5 && minor! < 8)) {
    const fix = "Update it to Linux 5.8 or newer for eBPF.";
    return about.warning(`${text}: too old for xcopy's eBPF programs, sockets take their place`, fix);
  }
  const before = major === 5 || (major === 6 && minor! < 6);
  return about.ok(before ? `${text} (before 6.6: clsact in place of tcx)` : text);
}

/** libbpf, which xcopy carries, and libpcap, which it does not. */
export async function checkLibraries({ options }: Pick<Subject, "options">): Promise<Finding[]> {
  return [...(await checkLibbpf()), ...checkLibpcap(options.capture)];
}

async function checkLibbpf(): Promise<Finding[]> {
  const about = findingsAbout("host.libbpf", "libbpf");
  const carried = await carriedLibraries();
  try {
    openLibbpf(carried);
    return about.ok(carried.length > 0 ? "the one that xcopy carries" : "this host's");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return about.warning(`${error.message}: sockets take the place of eBPF`, error.fix);
  }
}

/** Only -F and --capture pcap need it. */
function checkLibpcap({ filter, backEnd }: Subject["options"]["capture"]): Finding[] {
  const about = findingsAbout("host.libpcap", "libpcap");
  const isNeeded = filter !== null || backEnd === "pcap";
  try {
    compileExpression("tcp", DLT_EN10MB, 64);
    return about.ok("this host's");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (isNeeded) return about.failed(error.message, error.fix);
    return about.ok("none here, and none is needed: only -F and --capture pcap use it");
  }
}
