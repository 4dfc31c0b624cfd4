/** Reads the head of an HTTP message, as far as its fields are wanted. Takes any bytes. */

const latin1 = new TextDecoder("latin1");

/** The text of a head: bytes as they are (Latin-1), lines that end in LF, without the empty line at its end. */
export function textOfHead(head: Uint8Array): string {
  return latin1
    .decode(head)
    .replace(/\r\n?/g, "\n")
    .replace(/\n\n[\s\S]*$|\n$/, "");
}

/** The values of some fields (names in lower case), several of one name with ", " between them, folded lines joined. */
export function fieldsOf(head: Uint8Array, names: ReadonlySet<string>): Map<string, string> {
  const fields = new Map<string, string>();
  const lines = textOfHead(head).split("\n");
  let last: string | null = null;
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index]!;
    if (line === "") break;
    if (line.startsWith(" ") || line.startsWith("\t")) {
      if (last !== null) fields.set(last, `${fields.get(last)} ${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    last = names.has(name) ? name : null;
    if (last === null) continue;
    const before = fields.get(name);
    const value = line.slice(colon + 1).trim();
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}
