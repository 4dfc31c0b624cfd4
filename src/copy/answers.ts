/** Catches the targets' answers to this host's own addresses: by a kernel program, or by a socket and a netfilter rule. */
import type { KernelCapture } from "../capture/kernel.ts";
import { openResponseSocket } from "../capture/socket/response-socket.ts";
import type { ResponseSocketConfig } from "../capture/socket/response-source.ts";
import { dropRuleset } from "../netfilter/drop-ruleset.ts";
import { makeRules, type Rule } from "../netfilter/rule.ts";
import type { Plan } from "./plan.ts";

export interface Answers {
  /** For the data plane; null: they come by the kernel's rings. */
  readonly socket: ResponseSocketConfig | null;
  /** From now on answers are caught, and this host's TCP does not see them. Throws a Failure (2, 4, 5). */
  begin(): void;
  /** Packets of answers for which the ring or the socket had no room. */
  lost(): number;
  close(): void;
}

const WHAT = "keep answers from this host's TCP";
const FIX =
  "Install nftables, run where eBPF is allowed (CAP_BPF, CAP_PERFMON), or catch the answers at the target: xcopy intercept there, -s here.";

/** `kernel`: the programs loaded for answers, null where there are none. `whole`: with payload. Throws a Failure (4, 5). */
export function openAnswers(plan: Plan, kernel: KernelCapture | null, whole: boolean): Answers {
  const interfaces = [...new Set(plan.egresses.map(({ ifindex }) => ifindex))];
  if (plan.intercepts.length > 0) return { socket: null, begin() {}, lost: () => 0, close() {} };
  if (kernel) {
    return {
      socket: null,
      begin: () => kernel.attachResponses(interfaces),
      lost: () => kernel.stats().responseRingFull,
      close() {},
    };
  }
  const paths = plan.paths.map((path) => ({ ...path, local: path.local! }));
  const opened = openResponseSocket(paths, interfaces, whole);
  let rule: Rule | undefined;
  return {
    socket: opened.source,
    begin() {
      // The rule comes first: an answer that arrives before the socket listens is lost, and TCP sends it again.
      rule = makeRules(dropRuleset(paths, plan.ports), WHAT, FIX);
      opened.start();
    },
    lost: () => opened.stats().responseRingFull,
    close() {
      opened.close();
      rule?.remove();
    },
  };
}
