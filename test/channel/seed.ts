/** fast-check, with as many runs as the properties of this directory want. */
import fc from "fast-check";
import { seeded } from "../support/seed.ts";

fc.configureGlobal(seeded(200));

export { fc };
