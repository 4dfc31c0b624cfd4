/** The objects of the kernel programs, carried in the executable; bin/bpf compiles them. */
import { readFileSync } from "node:fs";
import intercept from "../../dist/bpf/intercept.bpf.o" with { type: "file" };
import outgoing from "../../dist/bpf/outgoing.bpf.o" with { type: "file" };
import request from "../../dist/bpf/request.bpf.o" with { type: "file" };
import response from "../../dist/bpf/response.bpf.o" with { type: "file" };

/** The ELF object of `xcopy intercept`. */
export function interceptProgram(): Uint8Array {
  return readFileSync(intercept);
}

/** The ELF objects of `xcopy copy`. */
export function kernelPrograms(): { requestObject: Uint8Array; responseObject: Uint8Array } {
  return { requestObject: readFileSync(request), responseObject: readFileSync(response) };
}

/** The ELF object of `xcopy copy` that captures what the services send. */
export function outgoingProgram(): Uint8Array {
  return readFileSync(outgoing);
}

/** The ELF objects of `xcopy record`. */
export function recordPrograms(): { requestObject: Uint8Array; outgoingObject: Uint8Array } {
  return { requestObject: readFileSync(request), outgoingObject: readFileSync(outgoing) };
}
