/** A process that attaches both programs to an interface of its network namespace, says so and stays. */
import { readFileSync } from "node:fs";
import type { Hook } from "../../src/capture/attachments.ts";
import { loadForTest } from "../bpf/capture.ts";

const [hook, ifindex] = process.argv.slice(2);
const { kernel } = loadForTest({ hook: hook as Hook });
kernel.attachResponses([Number(ifindex)]);
kernel.attachRequests([Number(ifindex)]);
const programs = [kernel.requestProgram, kernel.responseProgram].map(
  (fd) => /prog_id:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1],
);
process.on("SIGTERM", () => {
  kernel.detach();
  process.exit(0);
});
setInterval(() => {}, 1 << 30);
console.log(JSON.stringify({ pid: process.pid, programs }));
