/** Keeps some requests and answers of each difference, as text, with their secrets masked before they are kept. */
import type { Answer, Pair } from "../pairs/pair.ts";
import { textOfContent } from "./content/content.ts";
import { decodeContent } from "./content/decode.ts";
import { fieldsOf, textOfHead } from "./content/head.ts";
import { contentOf, type Found } from "./differences.ts";
import { Masker } from "./mask/masker.ts";
import type { Example, MessageText } from "./report.ts";
import type { Row } from "./row.ts";
import type { CompareSettings } from "./settings.ts";
import type { Tally } from "./tally.ts";
import { counted, severalLines, statusName } from "./words.ts";

const MOST_OF_TALLY = 3;
const MOST_OF_ROW = 16;
const MOST = 1000;
const MOST_BYTES = 8_000_000;
/** Of failures there may be so many times more, when all else has taken what there is. */
const FOR_ERRORS = 2;
const MOST_HEAD = 4096;
const MOST_BODY = 4096;
/** Of content more is masked than is kept, so that a secret at its end is found by what follows it. */
const READ_BODY = 2 * MOST_BODY;
const MOST_SAMPLE = 120;

/** A message before its secrets are masked. */
interface Raw {
  head: string;
  body: string;
  isCut: boolean;
}

function rawOf(head: Uint8Array, isHeadWhole: boolean, body: string | null, isBodyCut: boolean): Raw {
  return { head: textOfHead(head), body: (body ?? "").slice(0, READ_BODY), isCut: !isHeadWhole || isBodyCut };
}

function bodyOf(answer: Answer): { text: string; isCut: boolean } {
  const content = contentOf(answer);
  if (content === null) return { text: "", isCut: false };
  const text = textOfContent(content);
  return text === null
    ? { text: `(${counted(content.bytes.length, "byte")})`, isCut: content.isCut }
    : { text, isCut: content.isCut || text.length > MOST_BODY };
}

function rawAnswer(pair: Pair, answer: Answer): Raw {
  if (pair.protocol === "http") {
    const { text, isCut } = bodyOf(answer);
    return rawOf(answer.head, answer.isHeadWhole, text, isCut);
  }
  const status = statusName(pair.protocol, answer.status);
  const size = answer.bytes < 0 ? "" : `, ${counted(answer.bytes, "byte")}`;
  const [one, many] = pair.protocol === "mysql" ? ["row", "rows"] : ["record", "records"];
  const count = answer.count < 0 ? "" : `, ${counted(answer.count, one!, many)}`;
  const message = pair.protocol === "mysql" ? textOfHead(answer.head) : "";
  return { head: `${status}${count}${size}`, body: message.slice(0, READ_BODY), isCut: false };
}

function rawRequest(pair: Pair): Raw {
  if (pair.protocol !== "http") return { head: `${pair.method} ${pair.name}`, body: "", isCut: false };
  if (pair.requestBody === null) return rawOf(pair.request, true, null, false);
  const coding = fieldsOf(pair.request, new Set(["content-encoding"])).get("content-encoding") ?? "";
  const bytes = decodeContent(pair.requestBody, coding, true);
  const text =
    bytes === null ? `(${counted(pair.requestBody.length, "byte")})` : new TextDecoder().decode(bytes);
  return rawOf(pair.request, true, text, text.length > MOST_BODY);
}

function bytesOf(example: Example): number {
  const of = (text: MessageText | null) => (text === null ? 0 : text.head.length + text.body.length);
  return 200 + 2 * (of(example.request) + of(example.production) + of(example.target));
}

/** The texts of one pair, masked all together when the first of them is needed. */
export class PairTexts {
  private masker: Masker | null = null;
  private messages: {
    request: MessageText;
    production: MessageText | null;
    target: MessageText | null;
  } | null = null;

  constructor(
    private readonly pair: Pair,
    private readonly settings: CompareSettings,
  ) {}

  /** Request and both answers. */
  all(): NonNullable<PairTexts["messages"]> {
    if (this.messages !== null) return this.messages;
    const { pair } = this;
    this.masker = new Masker(this.settings.masks);
    const raw = [
      rawRequest(pair),
      pair.production === null ? null : rawAnswer(pair, pair.production),
      pair.target === null ? null : rawAnswer(pair, pair.target),
    ].map((message) => message && { ...message, ...this.masked(message) });
    const [request, production, target] = raw.map((message) => message && this.shown(message));
    this.messages = { request: request!, production: production!, target: target! };
    return this.messages;
  }

  /** Of MySQL the head is a status, and the body the message of an error. */
  private masked({ head, body }: Raw): { head: string; body: string } {
    const masker = this.masker!;
    const { protocol } = this.pair;
    if (protocol === "http") return { head: masker.head(head), body: masker.text(body) };
    return { head: masker.text(head), body: protocol === "mysql" ? masker.error(body) : masker.text(body) };
  }

  private shown({ head, body, isCut }: Raw): MessageText {
    const [whole, content] = [head, body].map((text) => severalLines(this.masker!.everywhere(text)));
    return {
      head: whole!.slice(0, MOST_HEAD),
      body: content!.slice(0, MOST_BODY),
      isCut: isCut || whole!.length > MOST_HEAD || content!.length > MOST_BODY,
    };
  }

  /** Another text of this pair, masked with all that is known of it: a sample, a path. */
  mask(text: string): string {
    this.all();
    return this.masker!.everywhere(this.masker!.text(text));
  }

  /** The values of a difference, as a sample: those under the name of a secret are masked whole. */
  sample(found: Found): { production: string; target: string } {
    this.all();
    const [production, target] = [found.production, found.target].map((value) => {
      const masked = this.masker!.everywhere(this.masker!.value(found.where, value));
      const line = severalLines(masked);
      return line.length > MOST_SAMPLE ? `${line.slice(0, MOST_SAMPLE)}...` : line;
    });
    return { production: production!, target: target! };
  }
}

export class Examples {
  private count = 0;
  private bytes = 0;

  constructor(private readonly settings: CompareSettings) {}

  /** Whether an example of this difference would be kept. */
  wants(row: Row, tally: Tally): boolean {
    if (tally.examples >= MOST_OF_TALLY) return false;
    const times = tally.isError ? FOR_ERRORS : 1;
    return (
      row.examples.length < times * MOST_OF_ROW &&
      this.count < times * MOST &&
      this.bytes < times * MOST_BYTES
    );
  }

  keep(row: Row, tally: Tally, pair: Pair, texts: PairTexts): void {
    const { began } = this.settings;
    const example: Example = {
      kind: tally.kind,
      where: tally.where,
      at: Math.round(began.ms + (pair.at - began.us) / 1000),
      ...texts.all(),
      latency: {
        production: timeOf(pair.production),
        target: timeOf(pair.target),
      },
    };
    row.examples.push(example);
    tally.examples++;
    this.count++;
    this.bytes += bytesOf(example);
  }
}

function timeOf(answer: Answer | null): number | null {
  return answer === null || answer.lastByte === -1 ? null : Math.round(answer.lastByte);
}
