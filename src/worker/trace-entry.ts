/** Where the worker is that reads recordings: found from here, which is bundled into the directory of the entries. */
export const TRACE_READER = new URL("./trace-reader.ts", import.meta.url).href;
