/** The data plane, with an end: see mortal.ts. */
import "./mortal-loop.ts";
import "../../src/copy/data-plane/thread.ts";
