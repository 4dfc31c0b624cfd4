/** What texts of SQL would do. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { judge, LongText } from "../../src/protocol/mysql/sql/sql.ts";
import { ACCOUNTS, ADMINISTERS, DEFINES, WRITES } from "../../src/protocol/mysql/sql/sql-statement.ts";

/** In pieces of `size`, or at once. */
function effects(text: string, size = 0): string {
  const bytes = Buffer.from(text);
  const long = new LongText();
  for (let from = 0; size > 0 && from < bytes.length; from += size) {
    // What was given is gone after the call.
    const piece = Buffer.from(bytes.subarray(from, from + size));
    long.take(piece, 0, piece.length);
    piece.fill(0x2a);
  }
  const found = (size > 0 ? long.end() : judge(bytes, 0, bytes.length)).effects;
  const names = [
    [WRITES, "writes"],
    [DEFINES, "defines"],
    [ACCOUNTS, "accounts"],
    [ADMINISTERS, "administers"],
  ] as const;
  return names.flatMap(([bit, name]) => (found & bit ? [name] : [])).join(" ");
}

const CASES: [effects: string, texts: string[]][] = [
  [
    "",
    [
      "",
      ";;",
      "SELECT 1",
      "select * from t where a = 'insert into' -- delete\n",
      "SELECT /*+ MAX_EXECUTION_TIME(10) */ x FROM t",
      "/* UPDATE t */ SELECT 1 # DROP TABLE t",
      "(SELECT 1) UNION (SELECT 2)",
      "SELECT `into` FROM `for update`",
      'SELECT "into", "it""s", \'it\'\'s\' FROM t',
      "SELECT 'a\\'; DELETE FROM t; -- '",
      "WITH a AS (SELECT 1) SELECT * FROM a",
      "SHOW CREATE TABLE t",
      "EXPLAIN SELECT 1",
      "DESCRIBE t",
      "BEGIN",
      "START TRANSACTION READ WRITE",
      "COMMIT",
      "ROLLBACK TO SAVEPOINT a",
      "USE shop",
      "SET NAMES utf8mb4",
      "SET @a = 1, SESSION sql_mode = ''",
      "CHECKSUM TABLE t",
      "TABLE t",
      "VALUES ROW(1)",
      "HANDLER t READ FIRST",
      "SELECT updated, deleted FROM inserts",
      "SELECT /*!40001 SQL_NO_CACHE */ * FROM t",
      "SELECT a--1 FROM t",
    ].filter((text) => !text.includes("\\")),
  ],
  [
    "writes",
    [
      "INSERT INTO t VALUES (1)",
      "update t set a = 1",
      "DELETE FROM t",
      "REPLACE INTO t VALUES (1)",
      "LOAD DATA LOCAL INFILE 'a' INTO TABLE t",
      "SELECT 1; DELETE FROM t",
      "SELECT 1;/**/DELETE FROM t",
      "SELECT * FROM t INTO OUTFILE '/tmp/a'",
      "SELECT * FROM t FOR UPDATE",
      "SELECT * FROM t LOCK IN SHARE MODE",
      "SELECT * FROM t FOR SHARE",
      "SELECT NEXTVAL(s)",
      "SELECT NEXT VALUE FOR s",
      "/*! INSERT INTO t VALUES (1) */",
      "/*!50000 DELETE */ FROM t",
      "/*M!100100 DELETE FROM t */",
      "/* a */ -- b\n # c\n DELETE FROM t",
      "WITH a AS (SELECT 1) DELETE FROM t",
      "EXPLAIN ANALYZE UPDATE t SET a = 1",
      "ANALYZE UPDATE t SET a = 1",
      "CALL p()",
      "DO f()",
      "BEGIN NOT ATOMIC DELETE FROM t; END",
      "PREPARE s FROM 'DELETE FROM t'",
      "EXECUTE IMMEDIATE 'DELETE FROM t'",
      "SET GLOBAL max_connections = 1",
      "SET @@global.max_connections = 1",
      "SET PERSIST max_connections = 1",
      "SET STATEMENT max_statement_time = 1 FOR DELETE FROM t",
      "LOCK TABLES t WRITE",
      "OPTIMIZE TABLE t",
      "CREATE TEMPORARY TABLE t (a INT)",
      "FLUSH TABLES",
      "a new word",
      "SELECT 'a\\'; DELETE FROM t; -- '",
      "SELECT 'ab\\' ; DELETE FROM t",
      "INSERT INTO tools VALUES ('mysql', `mysql2`, `a mysql`, \"`mysql`\")",
      "SELECT * FROM mysql.user; DELETE FROM t",
      "USE mysql; USE shop; DELETE FROM t",
    ],
  ],
  [
    "writes defines",
    [
      "CREATE TABLE t (a INT)",
      "alter table t add b int",
      "DROP TABLE t",
      "TRUNCATE t",
      "RENAME TABLE a TO b",
    ],
  ],
  [
    "writes accounts",
    [
      "CREATE USER a@b IDENTIFIED BY 'c'",
      "CREATE OR REPLACE USER a",
      "ALTER USER a IDENTIFIED BY 'b'",
      "DROP ROLE a",
      "RENAME USER a TO b",
      "GRANT ALL ON *.* TO a",
      "REVOKE ALL ON *.* FROM a",
      "SET PASSWORD FOR a = 'b'",
      "SET DEFAULT ROLE a TO b",
      "SELECT 1; GRANT ALL ON *.* TO a",
      "/*!50000 GRANT*/ ALL ON *.* TO a",
      "FLUSH PRIVILEGES",
      "PREPARE s FROM 'GRANT ALL ON *.* TO a'",
      'EXECUTE IMMEDIATE "DROP USER a"',
      "PREPARE s FROM 'SELECT ''a'''; REVOKE ALL ON *.* FROM a",
      "PREPARE s FROM 'SELECT 1'; REVOKE ALL ON *.* FROM a",
      "UPDATE mysql.user SET password = ''",
      "USE mysql; UPDATE user SET password = ''",
      "INSERT INTO `MySQL` . db VALUES (1)",
      "DELETE FROM t USING t, `mysql`.`user`",
      "SELECT 1; UPDATE t SET a = 1; /*! DELETE FROM mysql.db */",
    ],
  ],
  [
    "writes administers",
    ["KILL 1", "SHUTDOWN", "CHANGE MASTER TO x = 1", "RESET MASTER", "INSTALL PLUGIN a SONAME 'b'"],
  ],
  ["administers", ["START SLAVE", "START REPLICA"]],
];

for (const [expected, texts] of CASES) {
  describe(expected || "reads", () => {
    for (const text of texts) {
      test(JSON.stringify(text), () => {
        expect(effects(text)).toBe(expected);
        for (const size of [1, 2, 3, 7, 20]) expect(effects(text, size)).toBe(expected);
      });
    }
  });
}

test("a single SET of session variables and a single USE are recognized", () => {
  const kept = (text: string) => {
    const bytes = Buffer.from(text);
    const { setsVariables, usesDatabase, prepares } = judge(bytes, 0, bytes.length);
    return [setsVariables, usesDatabase, prepares];
  };
  expect(kept("SET NAMES utf8")).toEqual([true, false, 0]);
  expect(kept("/* a */ set autocommit = 0;")).toEqual([true, false, 0]);
  expect(kept("SET TRANSACTION READ ONLY")).toEqual([false, false, 0]);
  expect(kept("SET GLOBAL a = 1")).toEqual([false, false, 0]);
  expect(kept("SET PASSWORD = 'a'")).toEqual([false, false, 0]);
  expect(kept("USE shop")).toEqual([false, true, 0]);
  expect(kept("USE shop; SELECT 1")).toEqual([false, false, 0]);
  expect(kept("PREPARE s FROM 'SELECT 1'")).toEqual([false, false, 1]);
});

test("any text is judged the same in pieces and at once", () => {
  const word = fc.constantFrom(..."SELECT INTO ; ' \" ` /* */ /*! -- # \\ ( ) SET GRANT x \n".split(" "));
  fc.assert(
    fc.property(
      fc.array(fc.oneof(word, fc.string({ maxLength: 5 })), { maxLength: 20 }),
      fc.integer({ min: 1, max: 40 }),
      (parts, size) => {
        expect(effects(parts.join(" "), size)).toBe(effects(parts.join(" ")));
        expect(effects(parts.join(""), size)).toBe(effects(parts.join("")));
      },
    ),
  );
});

test("a write after complete statements is found", () => {
  const closed = fc.constantFrom(
    "SELECT 1",
    "SELECT 'a''b'",
    'SELECT "a"',
    "SELECT `a`",
    "/* x */ SELECT 1",
    "SELECT 1 -- x\n",
  );
  fc.assert(
    fc.property(fc.array(closed, { minLength: 1, maxLength: 5 }), (parts) => {
      expect(effects(`${parts.join(";")}; DELETE FROM t`)).toBe("writes");
    }),
  );
});
