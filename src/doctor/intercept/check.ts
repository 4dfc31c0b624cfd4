/** Looks at the intercepts of -s: whether they take this copy, what they catch, and how their hosts are set up. */
import { version } from "../../../package.json";
import type { Welcome } from "../../channel/messages.ts";
import { formatAddress, formatEndpoint } from "../../config/address.ts";
import { fixIntercept } from "../../copy/diagnosis.ts";
import type { Plan } from "../../copy/plan.ts";
import type { HostFacts } from "../../intercept/data-plane/host-facts.ts";
import type { Finding } from "../finding.ts";
import type { Subject } from "../subject.ts";
import { type Outcome, tryOnce } from "../trial/try-copy.ts";
import { type Connected, connectTo } from "./ask.ts";
import { endpointOf, judgeHost, type Question } from "./judge.ts";

/** Clients and servers that are asked about, of each at most so many. */
const MOST_ASKED = 8;

function finding(
  id: string,
  status: Finding["status"],
  what: string,
  found: string,
  fix: string | null,
  host: string | null,
): Finding {
  return { id: `intercept.${id}`, status, what, found, fix, host };
}

/** Whether an intercept catches the answers of a server; one that names no services may. */
function catches({ services }: Welcome, address: string, port: number): boolean {
  return (
    services.length === 0 || services.some((one) => one.port === port && (one.address ?? address) === address)
  );
}

function questionFor(
  label: string,
  { paths, probeFrom, ways }: Plan,
  welcome: Welcome,
): Omit<Question, "answered"> {
  const its = [...paths.keys()].filter((index) =>
    catches(welcome, formatAddress(paths[index]!.target), paths[index]!.targetPort),
  );
  const unique = (texts: string[]) => [...new Set(texts)].slice(0, MOST_ASKED);
  return {
    label,
    clients: unique(its.map((index) => formatAddress(probeFrom[index]!))),
    self: formatAddress(
      (ways.find((way) => way.paths.some((index) => its.includes(index))) ?? ways[0]!).source,
    ),
    servers: unique(its.map((index) => JSON.stringify(serverOf(paths[index]!)))).map((text) =>
      JSON.parse(text),
    ),
  };
}

function serverOf({ target, targetPort, transport }: Plan["paths"][number]): Question["servers"][number] {
  return { address: formatAddress(target), port: targetPort, transport: transport ?? "tcp" };
}

/** The TCP servers of which every path has answered the connection that was tried on it. */
function answeredOf({ tried }: Outcome): Set<string> {
  if (tried === null) return new Set();
  const { plan, findings } = tried;
  const all = findings.probes.flatMap(({ path, result }) => {
    const server = serverOf(plan.paths[path]!);
    return server.transport === "tcp" ? [{ at: endpointOf(server), isGood: result === "answered" }] : [];
  });
  const bad = new Set(all.filter(({ isGood }) => !isGood).map(({ at }) => at));
  return new Set(all.map(({ at }) => at).filter((at) => !bad.has(at)));
}

/** What is found by an answer, once it is known which servers answer: see Question.answered. */
type Judge = (answered: Set<string>) => Finding[];

/** Asks one intercept about its host. */
async function askHost(label: string, { welcome, ask }: Connected, plan: Plan): Promise<Judge> {
  const only = (...[status, found, fix]: [Finding["status"], string, string | null]): Judge => {
    return () => [finding("facts", status, "its host", found, fix, label)];
  };
  if (welcome.mode === "compat") return only("ok", "an intercept 1.x says nothing about it", null);
  const question = questionFor(label, plan, welcome);
  const { clients, self, servers } = question;
  const before = Date.now();
  const answer = await ask("host", { addresses: [...clients, self], servers });
  if (answer === null) return only("warning", "it did not answer what it was asked", "Look again.");
  if (typeof answer.facts.error === "string") {
    const found = `xcopy ${welcome.version} there does not tell (${answer.facts.error})`;
    return only("warning", found, "Update xcopy there.");
  }
  const now = before + answer.roundTrip / 2;
  const facts = answer.facts as unknown as HostFacts;
  return (answered) => judgeHost(facts, { ...question, answered }, now, version);
}

/** One of them; `welcome` is null where it does not take this copy. */
async function lookAt(
  intercept: Plan["intercepts"][number],
  { plan, key, options }: Subject,
  tryOut: () => Promise<Outcome>,
): Promise<{ welcome: Welcome | null; label: string; findings: Finding[] }> {
  const { label, address, port } = intercept;
  const where = formatEndpoint(address.bytes, port);
  const connected = await connectTo({
    ...{ address: address.bytes, port, label },
    ...{ key: key?.bytes ?? null, compat: options.compat },
  });
  const what = `intercept at ${where}`;
  if ("text" in connected) {
    const fix = fixIntercept(connected.text, plan!.paths[0]!.targetPort);
    const found = connected.text || "no response within 2.5 s";
    return { label, welcome: null, findings: [finding("connection", "failed", what, found, fix, label)] };
  }
  const { welcome } = connected;
  let judge: Judge;
  try {
    judge = await askHost(label, connected, plan!);
  } finally {
    connected.close();
  }
  const found = `takes this copy${key ? ", with the same key" : ""}`;
  const first = finding("connection", "ok", what, found, null, label);
  // Only now: what a try loads would keep this thread from hearing the answers in time.
  return { label, welcome, findings: [first, ...judge(answeredOf(await tryOut()))] };
}

/** The targets whose answers none of the intercepts catches. */
function uncaught(plan: Plan, all: { welcome: Welcome | null; label: string }[]): Finding[] {
  const welcomes = all.flatMap(({ welcome, label }) =>
    welcome && welcome.mode !== "compat" ? [{ welcome, label }] : [],
  );
  if (welcomes.length < all.length) return [];
  const servers = [...new Set(plan.paths.map((path) => JSON.stringify(serverOf(path))))].map(
    (text) => JSON.parse(text) as Question["servers"][number],
  );
  const left = servers.filter(
    ({ address, port }) => !welcomes.some(({ welcome }) => catches(welcome, address, port)),
  );
  return left.map(({ address, port }) => {
    const there = welcomes.map(({ label, welcome }) => {
      // Of the same port it is the address that differs: it runs on another host.
      const others = welcome.services.flatMap((one) =>
        one.port === port && one.address !== null ? [`that of ${one.address}`] : [],
      );
      const ports = [...new Set(welcome.services.map((service) => service.port))];
      return `${label} catches port ${[...ports.slice(0, 5), ...others.slice(0, 2)].join(", ")}`;
    });
    const fix = `Start the intercept on the host of ${address} with -o :${port}, correct -x, or name the intercept that catches them in -s.`;
    const found = `caught by none of the intercepts (${there.join("; ")})`;
    return finding("services", "failed", `responses of ${address}:${port}`, found, fix, null);
  });
}

const found = new WeakMap<Subject, Promise<Finding[]>>();

/** What `checkIntercepts` finds, once for all checks of a subject. */
export function interceptFindings(subject: Subject): Promise<Finding[]> {
  const known = found.get(subject);
  if (known) return known;
  const made = checkIntercepts(subject);
  found.set(subject, made);
  return made;
}

/** All intercepts, side by side; `tryOut`: what came of the connections of the preflight. */
export async function checkIntercepts(subject: Subject, tryOut = tryOnce): Promise<Finding[]> {
  const { plan, options, keyless } = subject;
  if (options.intercepts.length === 0) return [];
  if (keyless)
    return [finding("key", "failed", "key for the intercepts", keyless.message, keyless.fix, null)];
  if (plan === null) return [];
  const all = await Promise.all(
    plan.intercepts.map((intercept) => lookAt(intercept, subject, () => tryOut(subject))),
  );
  return [...uncaught(plan, all), ...all.flatMap(({ findings }) => findings)];
}
