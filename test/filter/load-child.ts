/** Loads a filter of every kind of load in front of a program, with the capabilities that it was started with. */
import { compileFilter } from "../../src/filter/compile.ts";
import { inFrontOfDrop } from "./kernel.ts";

for (const kind of ["tc", "xdp"] as const) {
  for (const text of [
    "tcp and src port 8080",
    "len > 100 and ip[ip[0]:2] > 3",
    "vlan 5 and ether[ip[3]] = 1",
  ]) {
    inFrontOfDrop(kind, compileFilter(text, "ethernet")).close();
  }
}
console.log("loaded");
