/**
 * A small application in two versions, over HTTP with JSON; run as `bun versions.ts PORT old|new` in a namespace. All answers have random
 * ids and the time, and what is in stock differs from one to the next. The new version writes fields in another order (which is no difference), answers 500 for orders, another price, and
 * takes 30 ms longer to search.
 */
export {};

const [port, version] = process.argv.slice(2);
const isNew = version === "new";

const json = (value: object, status = 200) => {
  const noise = { request: crypto.randomUUID(), at: new Date().toISOString() };
  const all = isNew ? { ...noise, ...value } : { ...value, ...noise };
  const cookie = `visit=${crypto.randomUUID()}; HttpOnly`;
  return Response.json(all, { status, headers: { "Set-Cookie": cookie, "Cache-Control": "no-store" } });
};

Bun.serve({
  hostname: "::",
  port: Number(port),
  async fetch(request) {
    const [, what = "", id = ""] = new URL(request.url).pathname.split("/");
    if (request.method === "POST") await request.text();
    if (what === "orders" && isNew) return json({ error: "no such column" }, 500);
    if (what === "prices") return json({ id, amount: isNew ? 1199 : 1099, currency: "EUR" });
    if (what === "stock") return json({ id, left: Math.ceil(3 * Math.random()) });
    if (what === "search" && isNew) await Bun.sleep(30);
    return json({ id, name: `name of ${id}`, tags: ["a", "b"], nested: { level: Number(id) % 3 } });
  },
});
console.log("listening");
