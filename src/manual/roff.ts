/** What a page is written in: the macros of man(7). */

/** Text in which nothing means anything to roff. */
export function text(written: string): string {
  return written
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .replaceAll("^", "\\(ha")
    .replaceAll("~", "\\(ti")
    .replace(/^\./, "\\&.");
}

export function bold(written: string): string {
  return `\\fB${text(written)}\\fR`;
}

export function italic(written: string): string {
  return `\\fI${text(written)}\\fR`;
}

/** A whole sentence: a text that begins in lower case and has no full stop gets both, where its first word may change. */
export function sentence(written: string): string {
  const begins = /^(?!xcopy )[a-z]+[ ,]/.test(written)
    ? written[0]!.toUpperCase() + written.slice(1)
    : written;
  return /[.!?]$/.test(begins) ? begins : `${begins}.`;
}

/** Text in lines of at most 80 bytes, none of which is taken for a request. */
export function flow(written: string): string[] {
  const lines = [""];
  for (const word of text(written).split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + word.length > 78) lines.push(word.replace(/^\./, "\\&."));
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

/** Below a heading, which begins the first paragraph itself. */
export function paragraphs(written: readonly string[]): string[] {
  return written.flatMap((one, index) => (index === 0 ? flow(one) : [".PP", ...flow(one)]));
}

/** A paragraph behind a tag, which is written already. */
export function tagged(tag: string, written: string): string[] {
  return [".TP", tag, ...flow(written)];
}
