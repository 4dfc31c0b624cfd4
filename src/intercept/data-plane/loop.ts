/**
 * The data plane of `xcopy intercept`: a blocking loop that reads what was caught, finds the copy it belongs to and sends
 * it there. No event loop, no allocation per packet; it shares nothing with the main thread but the memory of shared.ts.
 */
import { CLOSE_CODES } from "../../channel/close.ts";
import { ChannelServer } from "../../channel/server.ts";
import { isIn } from "../../config/networks.ts";
import { Epoll } from "../../native/epoll.ts";
import { EPOLLIN, monotonicMicroseconds } from "../../native/libc.ts";
import { publish, STOP } from "../../runtime/shared.ts";
import type { Packet } from "../../wire/packet.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { type Connection, Connections } from "./connections.ts";
import { Copies } from "./copies.ts";
import { Questions } from "./facts.ts";
import { Cookies, Learned, Owners, Registered } from "./flow-maps.ts";
import { Registration, SINGLE } from "./registration.ts";
import { Router } from "./router.ts";
import { createInterceptCounters, INTERCEPT_INDEX as INDEX, viewInterceptShared } from "./shared.ts";
import { openSource } from "./source.ts";
import type { InterceptEvent } from "./start.ts";

/** Responses per round: copies are served in between. */
const ROUND = 256;
/** us between two looks while traffic flows; looks that find nothing before the kernel is asked to wake us. */
const GATHER = 250;
const PATIENCE = 4;
/** us; the kernel programs make no records any more after 2 s without a heartbeat. */
const HEARTBEAT_INTERVAL = 500_000;
const EXPIRY_INTERVAL = 100_000;
/** us between two looks at the counters of each copy, which are many. */
const PUBLISH_INTERVAL = 50_000;
/** us that copies have to close their connections at the end. */
const CLOSE_SPAN = 200_000;
const LONGEST_WAIT = 500_000;

/** Runs until the main thread asks for the end. `wake` is its eventfd; `onReady` is called once, when it runs. */
export function runInterceptLoop(
  config: InterceptPlaneConfig,
  wake: number,
  onReady: () => void,
  onEvent: (event: InterceptEvent) => void,
): void {
  const shared = viewInterceptShared(config.shared);
  const counters = createInterceptCounters();
  const source = openSource(config, (quoted) => router.isAboutCopy(quoted));
  const copies = new Copies<Connection>();
  const { maxFlows, translations, dnat, pass, mode, compat } = config;
  const router = new Router(
    {
      maxFlows,
      translations,
      dnat,
      pass,
      single: compat?.single ? SINGLE : -1,
      holds: mode !== "target",
      servesClients: mode === "target",
      passesDatagrams: mode === "nfqueue",
      seed: crypto.getRandomValues(new Uint32Array(1))[0]!,
    },
    copies,
  );
  const owners = mode === "target" ? new Owners(config.ownersMap) : null;
  const kernel = owners
    ? {
        cookies: new Cookies(config.cookiesMap),
        owners,
        learned: new Learned(config.learnedMap, owners),
        registered: new Registered(config.registeredMap),
        datagrams: new Learned(config.datagramFlowsMap),
      }
    : null;
  const questions = new Questions(config, (key) =>
    kernel ? kernel.learned.has(key.bytes) : router.flows.find(key.words) >= 0,
  );
  const registration = new Registration(
    config,
    copies,
    router,
    kernel,
    questions,
    onEvent,
    (isRead) => source.setRead(isRead),
    () => source.setRegisters(),
  );
  const server = new ChannelServer({ key: config.key, insecure: config.insecure });
  const compatServer = compat
    ? new ChannelServer({
        key: null,
        compat: compat.combined > 0 ? "combined" : "separate",
        serves: (address) => isIn(compat.from, address),
      })
    : null;
  const epoll = new Epoll();
  for (const fd of [...source.descriptors, wake]) epoll.add(fd, EPOLLIN);
  const connections = new Connections(epoll, config.listeners, server, compatServer, registration);

  let now = monotonicMicroseconds();
  const onResponse = (packet: Packet): boolean => {
    const before = router.routed;
    const caught = router.response(packet, now);
    if (questions.isWatching) questions.see(packet, router.routed > before);
    return caught;
  };
  const isEmpty = () => source.isEmpty();
  let heartbeatAt = 0;
  let expiryAt = 0;
  let publishAt = 0;
  let idleRounds = 0;
  let timeout = 0;
  let endAt = Number.POSITIVE_INFINITY;
  let wasBusy = false;
  let isReady = false;

  const tell = () => {
    count(counters, router, registration, copies, connections);
    // Of the kernel's flows, the kernel knows.
    if (kernel) counters[INDEX.active] = 0;
    counters[INDEX.discarded] = registration.publish(shared.copies);
    publish(shared, counters);
  };

  for (;;) {
    const events = epoll.wait(timeout);
    now = monotonicMicroseconds();
    if (now >= heartbeatAt) {
      source.heartbeat(now / 1000);
      heartbeatAt = now + HEARTBEAT_INTERVAL;
    }
    registration.advance(now);
    // Copies first: a flow must be known before its first response.
    for (let index = 0; index < events; index++)
      connections.handle(epoll.fdOf(index), epoll.eventsOf(index), now);
    const records = source.drain(onResponse, ROUND, now);
    if (now >= expiryAt) {
      router.expire(now);
      expiryAt = now + EXPIRY_INTERVAL;
    }
    if (endAt === Number.POSITIVE_INFINITY) connections.advance(now);
    connections.flush(now);
    if (records < ROUND) {
      // An answer must come after all responses that it counts, even if those go by another connection.
      registration.answerQuestions();
      connections.flush(now);
    }
    if (now >= publishAt) {
      tell();
      publishAt = now + PUBLISH_INTERVAL;
    }
    if (!isReady) {
      isReady = true;
      onReady();
    }

    if (Atomics.load(shared.command, 0) === STOP && endAt === Number.POSITIVE_INFINITY) {
      connections.bye("the intercept ends", now);
      endAt = now + CLOSE_SPAN;
    }
    if (now >= endAt || (endAt < Number.POSITIVE_INFINITY && connections.count === 0)) break;

    idleRounds = records > 0 || events > 0 ? 0 : idleRounds + 1;
    if (idleRounds === 0) wasBusy = true;
    const longest = Math.min(heartbeatAt - now, connections.wait(now), endAt - now, LONGEST_WAIT);
    const due = registration.wait(now, longest);
    timeout = 0;
    if (records >= ROUND || due <= 0) continue;
    if (idleRounds <= PATIENCE) {
      // Registrations end the pause: the first response may already be on its way.
      epoll.pause(Math.min(GATHER, due));
      continue;
    }
    source.wakes(true);
    // The wait itself is at the start of the next round.
    if (isEmpty()) {
      timeout = Math.ceil(due / 1000);
      if (wasBusy) tell();
      wasBusy = false;
    } else source.wakes(false);
  }
  connections.closeAll(now);
  // Nothing is held any more.
  router.expire(Number.POSITIVE_INFINITY);
  tell();
  epoll.close();
}

function count(
  counters: Float64Array,
  router: Router<Connection>,
  registration: Registration,
  copies: Copies<Connection>,
  connections: Connections,
): void {
  counters[INDEX.packets] = router.packets;
  counters[INDEX.bytes] = router.bytes;
  counters[INDEX.routed] = router.routed;
  counters[INDEX.unrouted] = router.unrouted;
  counters[INDEX.passed] = router.passed;
  counters[INDEX.held] = router.held;
  counters[INDEX.released] = router.released;
  counters[INDEX.cut] = copies.cut;
  counters[INDEX.active] = router.flows.count;
  counters[INDEX.evicted] = router.flows.evicted + router.datagramFlows.evicted;
  counters[INDEX.registered] = registration.registered;
  counters[INDEX.confirmed] = router.confirmed;
  counters[INDEX.expired] = router.expired;
  counters[INDEX.refused] = registration.refused + router.refused;
  counters[INDEX.withdrawn] = registration.withdrawn + router.withdrawn;
  counters[INDEX.clients] = copies.count;
  counters[INDEX.connections] = connections.count;
  counters[INDEX.unfinished] = connections.unfinished;
  counters[INDEX.accepted] = connections.accepted;
  for (const code of CLOSE_CODES) counters[INDEX[`closed.${code}`]] = connections.closed(code);
}
