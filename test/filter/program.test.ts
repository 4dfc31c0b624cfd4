/** The program in front: what it needs, what becomes of it, and packets that are not in one piece. */
import { describe, expect, test } from "bun:test";
import { compileFilter } from "../../src/filter/compile.ts";
import { loadFilterProgram } from "../../src/filter/program.ts";
import { createTcxLink } from "../../src/native/bpf/link.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { Failure } from "../../src/native/failure.ts";
import { libc } from "../../src/native/libc.ts";
import { build } from "../bpf/build.ts";
import { command, Namespace } from "../bpf/namespace.ts";
import { until } from "../support/until.ts";
import { inBuffer } from "./expressions.ts";
import { constantProgram, inFrontOfDrop, matches, PASS, TARGETS } from "./kernel.ts";

const FROM_8080 = compileFilter("tcp and src port 8080", "ethernet");
const response = inBuffer(build({ sourcePort: 8080 }).bytes);
const other = inBuffer(build({ sourcePort: 8081 }).bytes);

describe("the target decides about a match", () => {
  for (const kind of ["tc", "xdp", "xdp-linear"] as const) {
    for (const attachType of ["none", "xdp"] as const) {
      if (kind === "tc" && attachType === "xdp") continue;
      test(`${kind}, attach type ${attachType}`, () => {
        const context = kind === "tc" ? {} : null;
        const target = constantProgram(kind, 7, attachType);
        const program = loadFilterProgram({ kind, ...FROM_8080, target });
        libc.close(target);
        expect(testRun(program.fd, response, context).verdict).toBe(7);
        expect(testRun(program.fd, other, context).verdict).toBe(PASS[kind]);
        program.close();
      });
    }
  }
});

test("everything passes when the descriptors are closed, while the program is still attached", async () => {
  const program = inFrontOfDrop("tc", FROM_8080);
  expect(program.descriptors).toContain(program.fd);
  expect(matches("tc", program, response)).toBe(true);
  for (const fd of program.descriptors) if (fd !== program.fd) libc.close(fd);
  // A worker of the kernel empties the table (prog_array_map_clear in kernel/bpf/arraymap.c).
  await until("the target is forgotten", () => testRun(program.fd, response).verdict === PASS.tc);
  libc.close(program.fd);
});

test("a target of another kind is refused", () => {
  expect(() => loadFilterProgram({ kind: "tc", ...FROM_8080, target: TARGETS.xdp })).toThrow(Failure);
});

test("a filter that is too long for jumps is refused", () => {
  // ldh [12], again and again; ret #0
  const load = [0x28, 0, 0, 0, 12, 0, 0, 0];
  const instructions = Uint8Array.from([...Array(4000).fill(load).flat(), 0x06, 0, 0, 0, 0, 0, 0, 0]);
  expect(() => inFrontOfDrop("tc", { ...FROM_8080, instructions })).toThrow("too many for its jumps");
});

test("a hundred hosts are not too many", () => {
  const hosts = Array.from({ length: 100 }, (_, index) => `src host 10.0.1.${index}`);
  const program = inFrontOfDrop("tc", compileFilter(hosts.join(" or "), "ethernet"));
  expect(matches("tc", program, inBuffer(build({ source: "10.0.1.99" }).bytes))).toBe(true);
  expect(matches("tc", program, inBuffer(build({ source: "10.0.1.100" }).bytes))).toBe(false);
  program.close();
});

test("CAP_BPF and CAP_NET_ADMIN are enough", () => {
  const some = "-all,+bpf,+net_admin";
  const limits = [`--bounding-set=${some}`, `--inh-caps=${some}`, `--ambient-caps=${some}`];
  expect(command("setpriv", ...limits, process.execPath, `${import.meta.dir}/load-child.ts`)).toBe(
    "loaded\n",
  );
});

describe("bytes of a packet that are not in its linear part: TCP of a local program", () => {
  for (const [name, where] of [
    ["at a computed offset", "tcp[((tcp[12] & 0xf0) >> 2):4]"],
    // Behind 20 bytes of IP, 20 of TCP, 12 of timestamps.
    ["at a constant offset", "ip[52:4]"],
  ] as const) {
    test(name, async () => {
      const namespace = new Namespace();
      const program = inFrontOfDrop(
        "tc",
        compileFilter(`tcp dst port 7777 and ${where} = 0x44524f50`, "ethernet"),
      );
      const link = namespace.enter(() => createTcxLink(program.fd, namespace.ifindex("lo"), "ingress"));
      expect(link).toBeGreaterThan(0);
      const talk = Bun.spawn(
        ["ip", "netns", "exec", namespace.name, process.execPath, `${import.meta.dir}/talk.ts`, "7777"],
        { stdout: "pipe", stderr: "inherit" },
      );
      try {
        // The first message is delivered; the second is dropped and sent again, until the program is gone.
        await until("a segment is sent again", () => retransmitted(namespace) > 0);
        libc.close(link);
        expect(await new Response(talk.stdout).text()).toBe("pass DROP");
      } finally {
        talk.kill();
        libc.close(link);
        program.close();
        namespace.remove();
      }
    });
  }
});

/** RetransSegs of RFC 4022. */
function retransmitted(namespace: Namespace): number {
  const [names, values] = namespace
    .run("cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf("RetransSegs")]);
}
