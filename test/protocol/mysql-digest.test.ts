/** Digests of SQL texts, and error messages without literals. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MOST_NAME } from "../../src/pairs/pair.ts";
import { digest } from "../../src/protocol/mysql/sql/digest.ts";
import { messageOf } from "../../src/protocol/mysql/sql/message.ts";
import { seeded } from "../support/seed.ts";

const of = (text: string | Uint8Array, { isWhole = true, escapes = true } = {}) => {
  const bytes = Uint8Array.from([1, 1, ...Buffer.from(text as string), 0x27]);
  return digest(bytes, 2, bytes.length - 1, isWhole, escapes);
};

describe("digests", () => {
  test.each([
    ["select * from t where id = 5", "SELECT * FROM t WHERE id = ?"],
    ["SELECT\t*\nFROM t  WHERE id=-5 ;", "SELECT * FROM t WHERE id = ?"],
    ["select * from `t` where `id` = 'a' -- 5", "SELECT * FROM t WHERE id = ?"],
    ["select /* 5 */ a.`order`, `x y` from a # 'x", "SELECT a.`order` , `x y` FROM a"],
    ["select /*+ MAX_EXECUTION_TIME(5) */ 1", "SELECT ?"],
    ["/*!40101 SET NAMES utf8 */", "SET NAMES utf8"],
    ["/*!40000 ALTER TABLE `t` DISABLE KEYS */;", "ALTER TABLE t DISABLE KEYS"],
    ["insert into t values (1,'x',null)", "INSERT INTO t VALUES (...)"],
    ["insert into t values (1,'x'),(-2,'y'), (3, x'4d')", "INSERT INTO t VALUES (...) /* , ... */"],
    ["insert into t values (1),(2),(3)", "INSERT INTO t VALUES (?) /* , ... */"],
    [
      "insert into t values (1, now(), 2), (3, now(), 4)",
      "INSERT INTO t VALUES ( ? , NOW ( ) , ? ) /* , ... */",
    ],
    [
      "select a from t where id in (1) or id in (1,2,3) limit 5, 10",
      "SELECT a FROM t WHERE id IN (?) OR id IN (...) LIMIT ?, ...",
    ],
    [
      "select field(id, 3, 1, 2), count(*), COUNT (x) from count",
      "SELECT FIELD ( id , ?, ... ) , COUNT ( * ) , COUNT ( x ) FROM count",
    ],
    ["select a-1, -1, (a)-1, 3 - -1, - - 3", "SELECT a - ? , ? , ( a ) - ? , ? - ? , ?"],
    ["select 'a' 'b' \"c\", n'x', X'4D', 0x4d, b'01', _utf8'x', 1e5, 1.5e-7, .5, 5.", "SELECT ?, ..."],
    [
      "select a from t where b is null and c is not null and d = NULL",
      "SELECT a FROM t WHERE b IS NULL AND c IS NOT NULL AND d = ?",
    ],
    [
      "set @x = 5, @@session.sql_mode = '', global y = 1",
      "SET @x = ? , @@session.sql_mode = ? , GLOBAL y = ?",
    ],
    ["create user 'bob'@'10.0.0.1' identified by 'secret'", "CREATE USER ? @? IDENTIFIED BY ?"],
    ["begin; commit;", "BEGIN ; COMMIT"],
    ["show status; load data infile 'x' into table data", "SHOW STATUS ; LOAD DATA INFILE ? INTO TABLE data"],
    ["prepare s from 'select 5'", "PREPARE s FROM ?"],
    [
      "select a->'$.x', b->>\"$.y\" from t where c <=> ? and d <> :name",
      "SELECT a -> ? , b ->> ? FROM t WHERE c <=> ? AND d <> : name",
    ],
    ["select 'it''s', 'it\\'s', 'x\\\\' from t", "SELECT ?, ... FROM t"],
    ["SELECT größe FROM t", "SELECT größe FROM t"],
    ["", ""],
  ])("%s", (text, expected) => expect(of(text)).toBe(expected));

  test.each([
    [
      "a string that ends elsewhere without escapes",
      "select a from t where b = 'x\\' and c = 'SECRET'",
      { escapes: false },
    ],
    [
      "the same in big5, gbk and sjis",
      "select a from t where b = 'x\\\\' and c = 'SECRET'",
      { escapes: false },
    ],
    [
      "a name in double quotes, in which a backslash does not escape",
      'select a from t where b = "x\\" and c = " SECRET"',
      {},
    ],
    ["a string without an end", "select a from t where b = 'x SECRET", {}],
    ["a name without an end", "select a from t where b = `x SECRET", {}],
    ["an executable comment that ends in a string", "select a from t where b = /*!999999 's */ SECRET '", {}],
    ["a comment in an executable comment", "select a from t where b = /*!999999 /* ' */ SECRET */ '", {}],
    ["a line comment in an executable comment", "select a from t where b = /*!999999 # */ SECRET \n */ ", {}],
    ["an executable comment without an end", "select a from t where b = /*! SECRET", {}],
    ["a string in dollar quotes", "select a from t where b = $x$ SECRET $x$", {}],
    ["what is no text", "select a from t where b = \x01\x02 SECRET", {}],
    ["a backslash outside of quotes", "select a from t where b = \\ SECRET", {}],
  ])("where a text may be read in two ways it is cut: %s", (_, text, options) => {
    const name = of(text, options);
    expect(name).toBe("SELECT a FROM t WHERE b = ? ...");
    expect(name).not.toContain("SECRET");
  });

  test("a list that is cut is left out", () => {
    expect(of("insert into t (a, b) values (1, 'x'), (2, 'yy", { isWhole: false })).toBe(
      "INSERT INTO t ( a , b ) VALUES (...) ...",
    );
    expect(of("select a from t where b in (1, 2, -", { isWhole: false })).toBe(
      "SELECT a FROM t WHERE b IN ...",
    );
  });

  test("a long one is cut at a token, to at most MOST_NAME bytes", () => {
    const long = of(
      `select ${Array.from({ length: 1000 }, (_, index) => `column${index}`).join(", ")} from t`,
    );
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(MOST_NAME);
    expect(long).toMatch(/^SELECT column0 , .* column\d+( ,)? \.\.\.$/);
  });

  test("any number of rows has the same", () => {
    const rows = (count: number) =>
      of(`INSERT INTO t VALUES ${Array.from({ length: count }, () => "(1,'x',NOW())").join(",")}`);
    expect(rows(1000)).toBe(rows(2));
  });
});

// A statement is made of parts; a hole is a literal.
const HOLE = null;
const parts = fc.constantFrom<(string | null)[]>(
  ["SELECT a , b FROM t WHERE a = ", HOLE],
  ["SELECT f ( ", HOLE, " , b ) FROM t WHERE a BETWEEN ", HOLE, " AND ", HOLE],
  ["INSERT INTO t ( a , b ) VALUES ( ", HOLE, " , ", HOLE, " )"],
  [
    "UPDATE t SET a = ",
    HOLE,
    " , b = b + ",
    HOLE,
    " WHERE `c-d` IN ( ",
    HOLE,
    " , ",
    HOLE,
    " ) ORDER BY a LIMIT ",
    HOLE,
  ],
  ["CALL p ( ", HOLE, " )"],
  ["SELECT CASE WHEN a > ", HOLE, " THEN ", HOLE, " ELSE ", HOLE, " END FROM t AS x WHERE NOT a LIKE ", HOLE],
  ["SET @a := ", HOLE, " , NAMES = ", HOLE],
);
const SECRET = "S3CR3T";
const quoted = (quote: string) =>
  fc
    .array(
      fc.constantFrom(
        "a",
        " ",
        SECRET,
        "\\\\",
        "\\n",
        "''",
        '""',
        "`",
        "--",
        "/*",
        "*/",
        ";",
        "(",
        ",",
        "#",
        "é",
        "\n",
        "5",
      ),
    )
    .map(
      (pieces) =>
        quote +
        pieces.map((piece) => (piece[0] === "'" || piece[0] === '"' ? quote + quote : piece)).join("") +
        quote,
    );
const literals = fc.oneof(
  quoted("'"),
  quoted('"'),
  quoted("'").map((text) => text.replaceAll("a", "\\'")),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom(
    "NULL",
    "0xDEAD",
    "x'4D'",
    "b'01'",
    "1e5",
    "-.5",
    "+3",
    `N'${SECRET}'`,
    `_utf8'${SECRET}'`,
    "?",
    "\\N",
  ),
);
const between = fc.constantFrom(" ", "\n", "\t ", " /* c */ ", " -- c\n ", " # it's\n ", "  ");

describe("properties", () => {
  test("statements that differ in literals, white space, comments and case only have the same digest, without a literal", () => {
    fc.assert(
      fc.property(
        parts,
        fc.infiniteStream(literals),
        fc.infiniteStream(literals),
        fc.infiniteStream(between),
        (shape, one, other, spaces) => {
          const made = [one, other].map((values) =>
            shape
              .map((part) =>
                part === HOLE
                  ? values.next().value
                  : part
                      .replaceAll(" ", () => spaces.next().value)
                      .replace(/SELECT|WHERE|AND|VALUES/g, (word) =>
                        word.length % 2 ? word.toLowerCase() : word,
                      ),
              )
              .join(""),
          );
          const names = made.map((text) => of(text));
          expect(names[0]).toBe(names[1]!);
          expect(names[0]).not.toContain(SECRET);
          expect(names[0]!.replace("`c-d`", "")).not.toMatch(/[0-9'"\\]/);
          expect(names[0]).not.toContain("...  ");
        },
      ),
      seeded(2000),
    );
  });

  test("in whatever way quotes are read, no literal is in a digest", () => {
    // The statement as each server may read it, and the strings that it finds.
    const text = fc
      .array(
        fc.constantFrom(
          "'",
          "'",
          '"',
          "`",
          "\\",
          "\\'",
          "/*",
          "*/",
          "/*!",
          "--",
          "#",
          "\n",
          " ",
          "a",
          `'${SECRET}'`,
          `"${SECRET}"`,
          "x",
          "\xbf",
          "(",
          ")",
          ",",
          "-",
          "1",
        ),
        { maxLength: 14 },
      )
      .map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(text, fc.boolean(), (after, isWhole) => {
        let count = 0;
        const numbered = after.replaceAll(SECRET, () => `${SECRET}${String.fromCharCode(97 + count++)}`);
        const bytes = Buffer.from(numbered, "latin1");
        for (const escapes of [true, false]) {
          const name = of(bytes, { isWhole, escapes });
          // If it is known that backslashes escape, nobody reads it otherwise.
          const found = [...literalsOf(numbered, true), ...(escapes ? [] : literalsOf(numbered, false))];
          for (const secret of found.join(" ").match(/S3CR3T[a-z]/g) ?? [])
            expect(name).not.toContain(secret);
        }
      }),
      seeded(5000),
    );
  });

  test("any bytes have a digest of at most MOST_NAME bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (bytes, isWhole) => {
        expect(of(bytes, { isWhole }).length).toBeLessThanOrEqual(MOST_NAME);
      }),
      seeded(200),
    );
  });
});

/** The literals of a text, read as MySQL's lexer does: `escapes` as without NO_BACKSLASH_ESCAPES; comments with "!" executed or not. */
function literalsOf(text: string, escapes: boolean): string[] {
  return [true, false].flatMap((executes) => lex(text, escapes, executes));
}

function lex(text: string, escapes: boolean, executes: boolean): string[] {
  const found: string[] = [];
  let isInside = false;
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const quote = text[at]!;
    if (isInside && rest.startsWith("*/")) {
      isInside = false;
      at += 2;
    } else if (rest.startsWith("/*!") && executes && !isInside) {
      isInside = true;
      at += 3;
    } else if (rest.startsWith("/*")) {
      const end = text.indexOf("*/", at + 2);
      at = end < 0 ? text.length : end + 2;
    } else if (quote === "#" || /^--(\s|$)/.test(rest)) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end + 1;
    } else if ("'\"`".includes(quote)) {
      let end = at + 1;
      for (; end < text.length; end++) {
        if (escapes && quote !== "`" && text[end] === "\\") end++;
        else if (text[end] === quote) {
          if (text[end + 1] !== quote) break;
          end++;
        }
      }
      // A string without an end is an error.
      if (quote !== "`" && end < text.length) found.push(text.slice(at, end));
      at = end + 1;
    } else at++;
  }
  return found;
}

describe("messages of errors", () => {
  const message = (text: string, isWhole = true) => {
    const bytes = Uint8Array.from([0, 0xff, 0x26, 0x04, ...Buffer.from(text), 0x27]);
    return Buffer.from(messageOf(bytes, 1, bytes.length - 1, isWhole)).toString();
  };
  test.each([
    ["#23000Duplicate entry 'bob' for key 'PRIMARY'", "Duplicate entry ?"],
    ["#22001Data too long for column 'a' at row 17", "Data too long for column ? at row ?"],
    ["#42000You have an error near 'a = 'SECRET' and b' at line 1", "You have an error near ? at line ?"],
    ["#HY000Can't find file: './x' (errno: 2 \"No such file\")", "Can't find file: ?)"],
    ["#45000anything that SIGNAL says", "?"],
    ["Unknown thread id: 5", "Unknown thread id: ?"],
    [
      "#28000Access denied for user 'x'@'h' (using password: YES)",
      "Access denied for user ? (using password: YES)",
    ],
    ["#HY000Lock wait timeout exceeded", "Lock wait timeout exceeded"],
    ["#HY000", ""],
    ["", ""],
  ])("%s", (text, expected) => expect(message(text)).toBe(expected));

  test("one that is cut has nothing behind its first quote", () => {
    expect(message("#23000Duplicate entry 'SEC'RET", false)).toBe("Duplicate entry ?");
  });
});
