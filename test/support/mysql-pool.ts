/**
 * A pool of mysql2 that lives long and is driven by HTTP on a socket: GET /N does N rounds of prepared and plain statements
 * on each connection. What it sets in its sessions is needed by the statements that follow.
 * usage: mysql-pool.ts HOST USER PASSWORD DATABASE CONNECTIONS SOCKET
 */
import mysql from "mysql2/promise";

type Words = [string, string, string, string, string, string];
const [host, user, password, database, connections, socket] = process.argv.slice(2) as Words;
const size = Number(connections);
const pool = mysql.createPool({ host, user, password, database, connectionLimit: size });
const held = await Promise.all(Array.from({ length: size }, () => pool.getConnection()));

async function setUp(connection: mysql.PoolConnection): Promise<void> {
  await connection.query("SET SESSION sql_mode = 'ANSI_QUOTES'");
}

let key = 0;
let isSetUp = false;

async function rounds(connection: mysql.PoolConnection, count: number): Promise<void> {
  if (!isSetUp) await setUp(connection);
  for (let round = 0; round < count; round++) {
    const own = ++key;
    const row = [own, `row ${own}`, own * 2];
    await connection.execute("INSERT INTO pool (id, text, number) VALUES (?, ?, ?)", row);
    await connection.execute("SELECT text FROM pool WHERE id = ?", [own]);
    await connection.query(`UPDATE "pool" SET number = number + 1 WHERE id = ${own}`);
  }
}

Bun.serve({
  unix: socket,
  async fetch(request) {
    await Promise.all(
      held.map((connection) => rounds(connection, Number(new URL(request.url).pathname.slice(1)))),
    );
    isSetUp = true;
    return new Response("done");
  },
});
console.log("ready");
