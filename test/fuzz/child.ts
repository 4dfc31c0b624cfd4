/** Searches with one target, in a process of its own that may crash or hang: bun child.ts NAME SECONDS SEED WATCHED. */
import { Coverage } from "./coverage.ts";
import { loadTarget, readFound, readSeeds, writeCrash, writeFound } from "./files.ts";
import { Search } from "./search.ts";

const [name, seconds, seed, watched] = process.argv.slice(2) as [string, string, string, string];
const SHOWN_EVERY_MS = 10_000;
/** Different faults after which the search ends: they should be mended first. */
const MOST_CRASHES = 10;

const memory = Bun.mmap(watched, { shared: true });
const words = new Uint32Array(memory.buffer, memory.byteOffset, 2);
const room = memory.subarray(8);
const coverage = new Coverage();
await coverage.start();
const target = await loadTarget(name);
const search = new Search(
  target,
  Number(seed),
  coverage,
  (input) => {
    room.set(input.subarray(0, room.length));
    words[1] = input.length;
    words[0]!++;
  },
  (input) => writeFound(name, input),
);

const begun = performance.now();
const end = begun + Number(seconds) * 1000;
let shown = begun;
let told = 0;
await search.begin([...readSeeds(name), ...readFound(name)].map(({ bytes }) => bytes));
tell();
while (performance.now() < end && search.crashes.size < MOST_CRASHES) {
  await search.round();
  tell();
  if (performance.now() < shown + SHOWN_EVERY_MS) continue;
  shown = performance.now();
  show();
}
show();
process.exit(search.crashes.size > 0 ? 1 : 0);

function show(): void {
  const time = (performance.now() - begun) / 1000;
  console.log(
    `${name}: ${time.toFixed(0)} s, ${search.inputs} inputs (${(search.inputs / time).toFixed(0)}/s), ${search.corpus.length} kept, ${coverage.characters} characters of code ran, ${search.crashes.size} faults`,
  );
}

/** Writes and shows the faults that were not shown yet. */
function tell(): void {
  for (const { input, fault } of [...search.crashes.values()].slice(told)) {
    const path = writeCrash(name, input);
    console.log(`FAULT  ${name}: ${fault}\n       ${input.length} bytes; again: bin/fuzz ${name} ${path}`);
  }
  told = search.crashes.size;
}
