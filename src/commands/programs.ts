/** The kernel programs, carried in the executable; bin/bpf makes them. */
import { readFileSync } from "node:fs";
import request from "../../dist/bpf/request.bpf.o" with { type: "file" };
import response from "../../dist/bpf/response.bpf.o" with { type: "file" };

/** The ELF objects to load. */
export function kernelPrograms(): { requestObject: Uint8Array; responseObject: Uint8Array } {
  return { requestObject: readFileSync(request), responseObject: readFileSync(response) };
}
