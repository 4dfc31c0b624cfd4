/** Catches the targets' answers to this host's own addresses: by a kernel program, or by a socket and a netfilter rule. */
import type { KernelCapture } from "../capture/kernel/capture.ts";
import type { KernelPath } from "../capture/kernel/options.ts";
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
  /** Answers come in on these interfaces too, or on new ones with the same indexes. Throws a Failure (2, 4, 5). */
  catchOn(ifindexes: readonly number[]): void;
  /** These interfaces are gone. */
  forget(ifindexes: ReadonlySet<number>): void;
  /** Answers to these paths, which get the next indexes, are caught too, and on these interfaces. Throws a Failure (2, 4, 5). */
  addPaths(paths: readonly KernelPath[], ifindexes: readonly number[]): void;
  /** Answers to these paths come to another address of this host. Throws a Failure (4, 5). */
  moveSource(paths: readonly number[], source: Uint8Array): void;
  /** Answers to this path are captured whole from now on, where only prefixes of them were. */
  readWhole(path: number): void;
  /** Packets of answers for which the ring or the socket had no room. */
  lost(): number;
  close(): void;
}

const WHAT = "keep responses from this host's TCP";
const FIX =
  "Install nftables, run where eBPF is allowed (CAP_BPF, CAP_PERFMON), or catch the responses at the target: xcopy intercept there, -s here.";

/** Answers that an intercept catches. */
const ELSEWHERE: Answers = {
  socket: null,
  begin() {},
  catchOn() {},
  addPaths() {},
  forget() {},
  moveSource() {},
  readWhole() {},
  lost: () => 0,
  close() {},
};

/** `kernel`: the programs loaded for answers, null where there are none. `payload`: most bytes that are read of that of a segment. Throws a Failure (4, 5). */
export function openAnswers(plan: Plan, kernel: KernelCapture | null, payload: number): Answers {
  if (plan.intercepts.length > 0) return ELSEWHERE;
  const interfaces = new Set(plan.egresses.map(({ ifindex }) => ifindex));
  return kernel ? byProgram(kernel, interfaces) : bySocket(plan, interfaces, payload);
}

function byProgram(kernel: KernelCapture, interfaces: Set<number>): Answers {
  const catchOn = (ifindexes: readonly number[]): void => {
    for (const ifindex of ifindexes) {
      if (interfaces.has(ifindex)) continue;
      kernel.attachResponses([ifindex]);
      interfaces.add(ifindex);
    }
  };
  return {
    socket: null,
    begin: () => kernel.attachResponses([...interfaces]),
    catchOn,
    addPaths(paths, ifindexes) {
      catchOn(ifindexes);
      for (const path of paths) kernel.addPath(path);
    },
    forget(ifindexes) {
      for (const ifindex of ifindexes) if (interfaces.delete(ifindex)) kernel.forget(ifindex);
    },
    moveSource(paths, source) {
      for (const path of paths) kernel.movePath(path, source);
    },
    readWhole: (path) => kernel.readWhole(path),
    lost: () => kernel.stats().responseRingFull,
    close() {},
  };
}

function bySocket(plan: Plan, interfaces: Set<number>, payload: number): Answers {
  const paths = plan.paths.map((path) => ({ ...path, local: path.local! }));
  const opened = openResponseSocket(paths, [...interfaces], payload);
  let rule: Rule | undefined;
  const makeRule = (): Rule => makeRules(dropRuleset(paths, plan.ports), WHAT, FIX);
  /** nft replaces it in one step. */
  const renewRule = (): void => {
    if (rule?.tool !== "nft") rule?.remove();
    rule = makeRule();
  };
  return {
    socket: opened.source,
    begin() {
      // The rule comes first: an answer that arrives before the socket listens is lost, and TCP sends it again.
      rule = makeRule();
      opened.start();
    },
    catchOn(ifindexes) {
      for (const ifindex of ifindexes) interfaces.add(ifindex);
      opened.listen([...interfaces]);
    },
    forget(ifindexes) {
      for (const ifindex of ifindexes) interfaces.delete(ifindex);
    },
    addPaths(more, ifindexes) {
      paths.push(...more.map(({ transport: _, ...path }) => ({ ...path, egress: 0 })));
      renewRule();
      for (const ifindex of ifindexes) interfaces.add(ifindex);
      opened.addPaths(more);
      opened.listen([...interfaces]);
    },
    moveSource(indexes, source) {
      for (const index of indexes) paths[index]!.local = source;
      renewRule();
    },
    readWhole() {},
    lost: () => opened.stats().responseRingFull,
    close() {
      opened.close();
      rule?.remove();
    },
  };
}
