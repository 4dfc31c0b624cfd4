/** Loaded before tests in a virtual machine: they use the libraries that xcopy carries, whichever its Debian has. */
import { carriedLibraries } from "../../src/host/carried-libraries.ts";
import { openLibbpf } from "../../src/native/bpf/libbpf.ts";

openLibbpf(await carriedLibraries());
