/** Gives up privileges in a process with many threads, and prints what it still can. Argument: JSON of `kept`, `passedOn`, `still`. */
import { deniedCalls, type StillDoes } from "../../src/host/denied-calls.ts";
import { lastCapability } from "../../src/native/bpf/capabilities.ts";
import { mayUseMaps } from "../../src/native/bpf/map.ts";
import { filterSystemCalls, giveUpCapabilities, setOf } from "../../src/native/credentials/credentials.ts";
import { privilegesOf } from "../support/threads.ts";

const { kept, passedOn, still } = JSON.parse(process.argv[2]!) as {
  kept: number[];
  passedOn: number[];
  still: StillDoes;
};

/** A thread that blocks, as a data plane does. */
async function startThread(): Promise<void> {
  const source = "postMessage(1); for (;;) Bun.sleepSync(1000);";
  const worker = new Worker(URL.createObjectURL(new Blob([source])));
  await new Promise((resolve) => {
    worker.onmessage = resolve;
  });
}

/** Has the runtime start its threads for files and for HTTP. */
async function useRuntime(): Promise<string> {
  await Bun.file("/etc/hostname").text();
  return await fetch("http://127.0.0.1:1/").then(
    () => "connected",
    ({ code }) => code,
  );
}

function runs(command: string[]): string {
  try {
    return Bun.spawnSync(command).stdout.toString().trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "?";
  }
}

await startThread();
await useRuntime();
const left = giveUpCapabilities(setOf(kept), setOf(passedOn), lastCapability());
const filter = filterSystemCalls(deniedCalls(still));
await startThread();
const said = {
  left,
  filter,
  http: await useRuntime(),
  maps: mayUseMaps(),
  child: runs(["sh", "-c", "grep -h -e CapEff -e CapBnd /proc/self/status | tr -s '\\t\\n' ' '"]),
  threads: privilegesOf(process.pid),
};
console.log(JSON.stringify(said));
process.exit(0);
