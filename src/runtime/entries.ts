/** Where the entries of the threads are: below src, or below the root of the executable, as bin/build puts them there. */
const ROOT = import.meta.url.includes("/$bunfs/") ? import.meta.url : new URL("../", import.meta.url);

/** The URL of an entry for `new Worker`; `path` below src: `record/thread.ts`. bin/build names it too. */
export function entryOf(path: string): string {
  return new URL(path, ROOT).href;
}
