/**
 * Connections of mysql2 that prepare statements and stay open. usage: mysql-statements.ts HOST USER PASSWORD DATABASE
 * CONNECTIONS STATEMENTS
 */
import mysql from "mysql2/promise";

type Words = [string, string, string, string, string, string];
const [host, user, password, database, connections, statements] = process.argv.slice(2) as Words;
for (let open = 0; open < Number(connections); open++) {
  const connection = await mysql.createConnection({
    host,
    user,
    password,
    database,
    maxPreparedStatements: 1000,
  });
  for (let number = 0; number < Number(statements); number++) {
    await connection.prepare(`SELECT c, ${number} FROM sbtest1 WHERE id = ?`);
  }
}
console.log("open");
