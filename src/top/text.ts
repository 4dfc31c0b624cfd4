/** Text in columns of a terminal: how wide it is, cut and filled, with colours where the terminal has them. */

/** The text with at most `width` columns. Wide characters have two. */
export function cut(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  let kept = "";
  let columns = 0;
  for (const { segment } of SEGMENTS.segment(text)) {
    columns += Bun.stringWidth(segment);
    if (columns > width - 1) break;
    kept += segment;
  }
  return width > 0 ? `${kept}…` : "";
}

const SEGMENTS = new Intl.Segmenter();

/** The text with `width` columns exactly. */
export function fill(text: string, width: number, side: "left" | "right"): string {
  const short = cut(text, width);
  const rest = " ".repeat(Math.max(0, width - Bun.stringWidth(short)));
  return side === "left" ? short + rest : rest + short;
}

export type Style = "bold" | "dim" | "red" | "reverse";
const CODES: Record<Style, [on: number, off: number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  reverse: [7, 27],
};

/** How text is marked; in a terminal without colours, and in a file, not at all. */
export type Paint = (text: string, style: Style) => string;

export const plain: Paint = (text) => text;
export const coloured: Paint = (text, style) => `\x1b[${CODES[style][0]}m${text}\x1b[${CODES[style][1]}m`;
