/** All checks of `xcopy doctor`, in the order of its list. */
import { checkPlan } from "../host/plan.ts";
import type { Subject } from "../subject.ts";
import type { ListedCheck } from "./run.ts";

export const CHECKS: ListedCheck<Subject>[] = [
  { group: "host", name: "the copy as it is meant", look: checkPlan },
];
