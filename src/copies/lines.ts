/** What several runs print, line by line, each with the name of its run. */

/** Hands on the lines of a stream as they come; resolves at its end. */
export async function eachLine(
  stream: ReadableStream<Uint8Array>,
  heard: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    lines.forEach(heard);
  }
  if (rest !== "") heard(rest);
}

/** A line of this run: a JSON object gets a first field `name`, any other text `name: ` in front, behind its priority (`<4>`). */
export function named(name: string, line: string): string {
  if (/^\{".*\}$/.test(line)) return `{"name":${JSON.stringify(name)},${line.slice(1)}`;
  return line.replace(/^(<\d>)?/, `$1${name}: `);
}
