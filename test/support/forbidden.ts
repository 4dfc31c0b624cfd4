/** Runs a command to which bpf(2) is forbidden, as in a container's seccomp filter: `bun forbidden.ts COMMAND...`. */
import { deniedCalls } from "../../src/host/denied-calls.ts";
import { filterSystemCalls } from "../../src/native/credentials/credentials.ts";

const cause = filterSystemCalls(deniedCalls({ runsPrograms: true, attaches: false, loads: false }));
if (cause !== null) throw new Error(`Cannot filter system calls: ${cause}`);
const { exitCode } = Bun.spawnSync(process.argv.slice(2), { stdio: ["ignore", "inherit", "inherit"] });
process.exit(exitCode);
