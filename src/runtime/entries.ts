/** The entry files of threads: below src, or in the executable below its root, where bin/build puts them. */
const ROOT = import.meta.url.includes("/$bunfs/") ? import.meta.url : new URL("../", import.meta.url);

/** The URL of an entry file for `new Worker`. `path` is relative to src, as `record/thread.ts`; bin/build must list it too. */
export function entryOf(path: string): string {
  return new URL(path, ROOT).href;
}
