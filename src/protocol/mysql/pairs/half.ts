/** What one side has answered to a command, as far as it is known. */
import { type Answer as AnswerOfPair, type End, MOST_HEAD } from "../../../pairs/pair.ts";

export interface Half {
  /** 0, or the number of the error. */
  status: number;
  end: End;
  /** Of all packets; -1: not known. */
  bytes: number;
  /** Rows affected, or of a result; -1: not known, or neither. */
  count: number;
  /** us, by the clock of the captured packets. */
  firstAt: number;
  lastAt: number;
  /** The message of an error, without literals. */
  message: Uint8Array;
  isMessageWhole: boolean;
}

export const NO_MESSAGE = new Uint8Array(0);

/** The answer of a pair; `from`: since when its times count, us. */
export function answerOf(half: Half, from: number): AnswerOfPair {
  return {
    status: half.status,
    end: half.end,
    bytes: half.bytes,
    count: half.count,
    firstByte: Math.max(0, half.firstAt - from),
    lastByte: Math.max(0, half.lastAt - from),
    head: half.message.subarray(0, MOST_HEAD),
    isHeadWhole: half.isMessageWhole,
    fields: 0,
    digest: null,
    body: null,
  };
}
