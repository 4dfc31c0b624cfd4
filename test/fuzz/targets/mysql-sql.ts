/** What a SQL text would do: the same in pieces, and never less than a plain reader finds. */
import { judge, LongText } from "../../../src/protocol/mysql/sql/sql.ts";
import {
  ADMINISTERS,
  DEFINES,
  type Judgement,
  WRITES,
} from "../../../src/protocol/mysql/sql/sql-statement.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { readAmid } from "../surroundings.ts";
import { expectThat, type Target } from "../target.ts";

export const target: Target = {
  about:
    "SQL texts: judged alike whole and in pieces, and nothing that writes is overlooked in texts without quotes and comments",
  longest: 600,
  rounds: 2500,
  words: [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE ",
    "DROP TABLE ",
    "SET ",
    "USE ",
    "`mysql`",
    "GRANT ",
    "SHUTDOWN",
    "KILL ",
    "FOR UPDATE",
    "INTO OUTFILE ",
    "PREPARE s FROM '",
    'EXECUTE IMMEDIATE "',
    "CALL ",
    "WITH ",
    "EXPLAIN ",
    "ANALYZE ",
    "/*",
    "*/",
    "/*!50000 ",
    "/*M!100100 ",
    "-- ",
    "#",
    "\n",
    "'",
    "''",
    "\\'",
    '"',
    ";",
    "NEXTVAL(",
    "LOCK TABLES ",
    "XA START ",
    "@@GLOBAL.",
    "SHOW ",
    "DO ",
    "HANDLER ",
    "LOAD DATA ",
    "VALUES ",
    "REPLACE ",
  ],

  take(input) {
    const whole = readAmid(input, ({ bytes, from, to }) => textOf(judge(bytes, from, to)));
    for (const cut of cutsOf(input)) {
      const long = new LongText();
      feedPieces(input, cut, (bytes, from, to) => long.take(bytes, from, to));
      const pieces = textOf(long.end());
      expectThat(pieces === whole, () => `In pieces of ${cut.slice(0, 8)} ${pieces}, whole ${whole}`);
    }
    checkPlain(Buffer.from(input).toString("latin1"), judge(input, 0, input.length).effects);
    return whole;
  },
};

function textOf({ effects, setsVariables, usesDatabase, usesSystem, prepares }: Judgement): string {
  return [effects, setsVariables, usesDatabase, usesSystem, Math.min(prepares, 3)].join(" ");
}

const FIRST_WORDS: [RegExp, number][] = [
  [/^(INSERT|UPDATE|DELETE|REPLACE|CALL|LOAD)$/, WRITES],
  [/^(CREATE|ALTER|DROP|TRUNCATE|RENAME)$/, DEFINES],
  [/^(KILL|SHUTDOWN)$/, ADMINISTERS],
];

/** In a text without quotes and comments the first word of each statement says what it does at least. */
function checkPlain(text: string, effects: number): void {
  if (/['"`#/\\]|--/.test(text) || /[^\x20-\x7e]/.test(text)) return;
  for (const statement of text.split(";")) {
    const first = /^\s*([A-Za-z0-9_$@]+)(?![A-Za-z0-9_$@])/.exec(statement)?.[1]?.toUpperCase();
    for (const [word, effect] of FIRST_WORDS) {
      if (first !== undefined && word.test(first))
        expectThat(
          (effects & (effect | (effect === DEFINES ? WRITES : 0) | ADMINISTERS | 4)) !== 0,
          () => `"${first}" counts as ${effects}`,
        );
    }
  }
}
