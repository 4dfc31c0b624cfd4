/** The data plane, with an end: see mortal.ts. */
import "./mortal-loop.ts";
import "../../src/worker/data-plane.ts";
