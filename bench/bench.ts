/** Measures what xcopy costs here (load, memory, MySQL, start) and prints one table. usage: bun bench/bench.ts [--quick] */
import { cpus, release } from "node:os";
import { createLab } from "../test/support/lab.ts";
import { type Figure, renderTable } from "./figures.ts";
import { type Kind, measureLoad } from "./load.ts";
import { measureMemory } from "./memory.ts";
import { measureMysql } from "./mysql.ts";
import { measureStart } from "./start.ts";

const quick = process.argv.includes("--quick");
const pairs = quick ? 1 : 3;
const seconds = quick ? 3 : 10;

const KINDS: Kind[] = [
  { name: "keep-alive", rate: 5000, count: 5000 * seconds, close: false, aim: 12 },
  { name: "short connections", rate: 5000, count: 5000 * seconds, close: true, aim: 30 },
  { name: "keep-alive", rate: 0, count: 50_000 * seconds, close: false },
  { name: "short connections", rate: 0, count: 10_000 * seconds, close: true },
];

const lab = createLab();
const figures: Figure[] = [];
try {
  for (const kind of KINDS) {
    console.error(`measuring ${kind.name}, ${kind.rate || "no"} limit, ${pairs} pairs of runs`);
    figures.push(...(await measureLoad(lab, kind, pairs)));
  }
  console.error("measuring memory");
  figures.push(...(await measureMemory(lab, quick ? [1000] : [1000, 20_000])));
  console.error("measuring MySQL");
  figures.push(...(await measureMysql(lab, seconds, pairs)));
  console.error("measuring the start");
  figures.push(...(await measureStart(lab, pairs)));
} finally {
  await lab.stopAll();
  lab.remove();
}
const { length: cores } = cpus();
console.log(`Linux ${release()}, ${cores} cores, shared by client, online, target and xcopy\n`);
console.log(renderTable(figures));
