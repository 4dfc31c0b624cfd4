/** What bin/chaos kills: each mode of `xcopy copy`, `xcopy intercept` and `xcopy record`, and what it needs around it. */
import { join } from "node:path";
import { TARGET } from "../../src/demo/network.ts";
import { startIntercept } from "../support/intercept.ts";
import { keyFor } from "../support/key.ts";
import type { Lab } from "../support/lab.ts";
import type { Running } from "../support/process.ts";
import { createThird, setForwarding, THIRD } from "../support/third.ts";
import { startCopy, XCOPY } from "../support/xcopy.ts";

export interface Mode {
  about: string;
  /** Prepares hosts and starts the other side, which lives on; returns how what is killed is started, and where. */
  prepare(lab: Lab): Promise<Victim>;
}

export interface Victim {
  namespace: string;
  /** What it prints when it works. */
  works: RegExp;
  start(): Running;
}

const TRANSFER = ["-x", `80-${TARGET}:8080`];
const COPIES = /^copying /;
const CATCHES = /^catching /;

function victim(lab: Lab, namespace: string, works: RegExp, args: string[]): Victim {
  return { namespace, works, start: () => lab.start(namespace, [XCOPY, ...args], keyFor(args)) };
}

/** `xcopy copy` alone, with these options. */
function copyAlone(about: string, ...options: string[]): Mode {
  return {
    about,
    prepare: async (lab) => victim(lab, lab.online, COPIES, ["copy", ...TRANSFER, ...options]),
  };
}

/** An intercept on the target, under a copy that goes on. What still comes back is dropped for a second after it. */
function interceptOnTarget(about: string, ...options: string[]): Mode {
  return {
    about,
    async prepare(lab) {
      const args = ["intercept", "-o", ":8080", ...options];
      await startCopy(lab, [...TRANSFER, "-s", TARGET, "--force"]);
      return victim(lab, lab.target, CATCHES, args);
    },
  };
}

function interceptElsewhere(about: string, ...options: string[]): Mode {
  return {
    about,
    async prepare(lab) {
      const third = createThird(lab);
      setForwarding(third, true);
      await startCopy(lab, [...TRANSFER, "-s", THIRD, "--force"]);
      const args = ["intercept", "-o", `${TARGET}:8080`, "--linger", "1", ...options];
      return victim(lab, third, CATCHES, args);
    },
  };
}

export const MODES: Record<string, Mode> = {
  direct: copyAlone("xcopy copy, mode direct, by tcx"),
  "direct-clsact": copyAlone(
    "the same by clsact filters, which the kernel would keep",
    "--capture",
    "clsact",
  ),
  "direct-xdp": copyAlone("the same with XDP", "--capture", "xdp-generic"),
  "direct-packet": copyAlone("the same by packet sockets", "--capture", "packet"),
  target: {
    about: "xcopy copy, mode target",
    async prepare(lab) {
      await startIntercept(lab, lab.target, ["-o", ":8080"]);
      return victim(lab, lab.online, COPIES, ["copy", ...TRANSFER, "-s", TARGET]);
    },
  },
  "intercept-target": interceptOnTarget("xcopy intercept, mode target", "--linger", "1"),
  "intercept-clsact": interceptOnTarget("the same by clsact filters", "--hook", "clsact", "--linger", "1"),
  "intercept-nfqueue": interceptOnTarget("xcopy intercept, mode nfqueue", "--mode", "nfqueue"),
  "intercept-assistant": interceptElsewhere("xcopy intercept, mode assistant"),
  record: {
    about: "xcopy record",
    prepare: async (lab) =>
      victim(lab, lab.online, /^recording /, [
        "record",
        "-x",
        "80",
        "-w",
        join(lab.directory, "chaos.pcapng"),
        "--overwrite",
      ]),
  },
};
