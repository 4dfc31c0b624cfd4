/** `-i`: where requests come from, network interfaces or files with recorded traffic. */
import { Failure } from "../native/failure.ts";
import { ANY, chooseInterfaces, type Interface } from "./interfaces.ts";

/** Either `interfaces` or `files` is empty. */
export interface Inputs {
  interfaces: Interface[];
  /** Paths, or "-" for standard input. */
  files: string[];
}

/** Names that are taken for files even where no such file exists. */
const LOOKS_LIKE_FILE = /^-$|\/|\.(pcap|pcapng|cap|dmp|gz|zst)[0-9]*$/;

/**
 * Interfaces or files, each value a comma list, or a path with commas in its name. Without `-i` it is every interface that
 * is up. `exists`: whether there is a file or directory of that name. Throws a Failure (exit code 2) for a name that is
 * neither, and for both kinds together.
 */
export function chooseInputs(
  values: readonly string[],
  present: readonly Interface[],
  exists: (path: string) => boolean,
): Inputs {
  const names = values.flatMap((value) =>
    exists(value) ? [value] : value.split(",").map((name) => name.trim()),
  );
  const isInterface = (name: string) => name === ANY || present.some((one) => one.name === name);
  const files = names.filter((name) => !isInterface(name) && (exists(name) || LOOKS_LIKE_FILE.test(name)));
  if (files.length === 0) return { interfaces: chooseInterfaces(values, present), files: [] };
  const other = names.find((name) => !files.includes(name));
  if (other === undefined) return { interfaces: [], files: [...new Set(files)] };
  throw new Failure(
    `Cannot use -i "${other}" together with the file "${files[0]}": ${isInterface(other) ? "it is a network interface" : "there is no such file"}`,
    "Name only files, or only interfaces.",
    2,
  );
}
