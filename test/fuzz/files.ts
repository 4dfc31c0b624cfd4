/** Where inputs are: seeds in the repository, what a search found worth keeping in dist/fuzz, crashes beside the seeds. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { hashOf } from "./random.ts";
import type { Target } from "./target.ts";

const TARGETS = join(import.meta.dir, "targets");
const SEEDS = join(import.meta.dir, "seeds");
const CRASHES = join(import.meta.dir, "crashes");
const FOUND = join(import.meta.dir, "../../dist/fuzz");

/** All targets, by name. */
export function targetNames(): string[] {
  return readdirSync(TARGETS)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -3))
    .sort();
}

export async function loadTarget(name: string): Promise<Target> {
  return ((await import(join(TARGETS, `${name}.ts`))) as { target: Target }).target;
}

interface Named {
  name: string;
  bytes: Uint8Array;
}

export function readSeeds(name: string): Named[] {
  return inputsIn(join(SEEDS, name));
}

/** What searches before have kept. */
export function readFound(name: string): Named[] {
  return inputsIn(join(FOUND, name));
}

export function writeFound(name: string, bytes: Uint8Array): void {
  write(join(FOUND, name), digits(bytes), bytes);
}

/** Returns the path as a person types it. */
export function writeCrash(name: string, bytes: Uint8Array): string {
  return relative(process.cwd(), write(CRASHES, `${name}-${digits(bytes)}`, bytes));
}

export function readInput(path: string): Uint8Array {
  return Uint8Array.from(readFileSync(path));
}

function digits(bytes: Uint8Array): string {
  return hashOf(bytes).toString(16).padStart(8, "0");
}

function write(directory: string, name: string, bytes: Uint8Array): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

function inputsIn(directory: string): Named[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((name) => ({ name, bytes: readInput(join(directory, name)) }));
}
