/** The entry of the worker that reads recordings: beside the other entries, where bin/build bundles it. */
import "../capture/trace/worker.ts";
