/** All checks of `xcopy doctor`, in the order of its list. */
import { checkArrival } from "../arrival/check.ts";
import { checkClock } from "../host/clock.ts";
import { checkInterfaces } from "../host/interfaces.ts";
import { checkKernel, checkLibraries } from "../host/kernel.ts";
import { checkCpus } from "../host/limits.ts";
import { checkLockedMemory, checkMemory } from "../host/memory.ts";
import { checkOthers } from "../host/others.ts";
import { checkPlan } from "../host/plan.ts";
import { checkPorts } from "../host/ports.ts";
import { checkPrivileges, checkRestrictions } from "../host/privileges.ts";
import { checkPrograms } from "../host/programs.ts";
import { interceptFindings } from "../intercept/check.ts";
import type { Subject } from "../subject.ts";
import { checkRules, checkWay } from "../way/check.ts";
import type { ListedCheck } from "./run.ts";

export const CHECKS: ListedCheck<Subject>[] = [
  { group: "host", name: "the copy as it is meant", look: checkPlan },
  { group: "host", name: "the kernel", look: checkKernel },
  { group: "host", name: "capabilities", look: checkPrivileges },
  { group: "host", name: "restrictions of the kernel", look: checkRestrictions },
  { group: "host", name: "the libraries", look: checkLibraries },
  { group: "host", name: "the eBPF programs", look: checkPrograms },
  { group: "host", name: "the limit of locked memory", look: checkLockedMemory },
  { group: "host", name: "memory", look: checkMemory },
  { group: "host", name: "CPUs", look: (subject) => checkCpus(subject) },
  { group: "host", name: "the interfaces", look: checkInterfaces },
  { group: "host", name: "source ports", look: (subject) => checkPorts(subject) },
  { group: "host", name: "other xcopies", look: (subject) => checkOthers(subject) },
  { group: "host", name: "the clock", look: (subject) => checkClock(subject) },
  { group: "arrival", name: "what arrives", look: (subject) => checkArrival(subject) },
  { group: "way", name: "the ways to the targets", look: checkWay },
  { group: "way", name: "the rules of this host", look: checkRules },
  { group: "intercept", name: "the intercepts", look: interceptFindings },
];
