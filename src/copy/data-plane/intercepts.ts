/**
 * The intercepts of a run, as the data plane sees them: which are connected, on which paths packets may be sent because the
 * target's answers will be caught, and which flows must be registered with them.
 */
import { isRefusal } from "../../channel/close.ts";
import { FLOW_BYTES } from "../../channel/contract.ts";
import type { Facts, Welcome } from "../../channel/messages.ts";
import { OPEN, OPENING, REGISTRATION_BYTES, writeProof } from "../../channel/registration.ts";
import type { Engine } from "../../engine/engine.ts";
import { type EachFlow, INTERCEPT_AWAY } from "../../engine/sessions/hold.ts";
import type { PathConfig } from "../../inject/path.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import type { Packet } from "../../wire/packet.ts";
import type { ChannelConfig } from "./config.ts";
import { covers, rangesOf } from "./coverage.ts";
import { InterceptLink, waitForAny } from "./intercept-link.ts";
import { PathIndex } from "./path-index.ts";

/** us without a sign of life after which nothing more is sent that an intercept would have to catch. */
const SILENCE = 100_000;
/** us to wait until an intercept has read the registrations of new flows. */
const SETTLE_SPAN = 100_000;
/** us after which a connection counts as one to an intercept 1.x, which sends no hello: other services close it at once. */
const TRUST = 300_000;
/** us of silence after which an intercept is reported as lost: before that its host may just have been busy. */
const LONG_SILENCE = 1_000_000;

/** us between two notes about channels that break: each is made anew at once, and may break again. */
const NOTE_INTERVAL = 60_000_000;

/** What the main thread is told of an intercept. */
export interface InterceptState {
  /** Its place among those of the configuration. */
  index: number;
  up: boolean;
  /** Why it is down; "" before the first try has ended. */
  text: string;
  welcome: Welcome | null;
  /** Whether it answered, and refused this copy. */
  isRefused: boolean;
  /** Indexes of the paths whose responses it catches. */
  covers: number[];
}

interface Intercept {
  links: InterceptLink[];
  state: InterceptState;
  covers: boolean[];
  /** Whether packets may be sent whose answers it catches; `state.up` is what was reported to the user. */
  isUp: boolean;
  /** Its last reason to end or refuse a connection: reported once, however often it comes again. */
  refusal: string;
  /** Whether each flow must be registered with it. */
  registers: boolean;
  /** Whether it lets the answers of a flow pass until it has read the flow's registration. */
  leaks: boolean;
  /** Whether it has not yet read the registrations of all flows: nothing is sent until it has. */
  isReading: boolean;
  /** Whether flows were registered that it must know before packets are sent in them. */
  isUnsettled: boolean;
}

export class Intercepts {
  /** Responses that belong to no path; how often an intercept was reported as lost. */
  strays = 0;
  losses = 0;
  /** Channels that ended as what came was changed on its way, or stopped in the middle of a record. */
  broken = 0;
  private notedAt = Number.NEGATIVE_INFINITY;
  private readonly intercepts: Intercept[];
  private index: PathIndex;
  /** A registration: of UDP, its first FLOW_BYTES. */
  private readonly row = new Uint8Array(new ArrayBuffer(REGISTRATION_BYTES));
  private readonly rowView = new DataView(this.row.buffer);
  private readonly held: boolean[];
  private readonly facts = new Map<number, (facts: Facts) => void>();
  private nextQuestion = 1;
  private registersAll = false;
  /** Calls `each` for every UDP flow of a path, to register them again. */
  forEachDatagramFlow: (path: number, each: (port: number, words: Int32Array, at: number) => void) => void =
    () => {};
  private sink: (packet: Packet) => void = () => {};
  private taken = 0;

  /** `notify` gets every change of an intercept's state. Every path is held until its responses will be caught. */
  constructor(
    private readonly config: ChannelConfig,
    private readonly paths: readonly PathConfig[],
    private readonly engine: Engine,
    private readonly instance: Uint8Array,
    /** Whether other workers send from the same addresses, and from other ports. */
    private readonly sharesAddresses: boolean,
    private readonly notify: (state: InterceptState) => void,
    /** Gets warnings for the log. */
    private readonly note: (text: string) => void,
    now: number,
  ) {
    this.index = new PathIndex(paths);
    this.held = paths.map(() => true);
    for (const path of paths.keys()) engine.hold(path, INTERCEPT_AWAY, now);
    this.intercepts = config.intercepts.map((_, index) => ({
      links: [],
      state: { index, up: false, text: "", welcome: null, isRefused: false, covers: [] },
      covers: paths.map(() => false),
      isUp: false,
      refusal: "",
      registers: false,
      leaks: false,
      isReading: false,
      isUnsettled: false,
    }));
    for (const [index, intercept] of this.intercepts.entries()) {
      for (let i = 0; i < config.connections; i++) intercept.links.push(this.makeLink(index, intercept));
    }
  }

  /** Descriptors that are readable when there is something to do; they stay the same. */
  get descriptors(): number[] {
    return this.intercepts.flatMap(({ links }) => links.map(({ epoll }) => epoll));
  }

  /** Whether nothing can be registered, as the intercepts do not know who we are. */
  get isInsecure(): boolean {
    return this.config.key === null && !this.config.compat;
  }

  /** One more path, which is in `paths` already: it is held until its responses will be caught. */
  addPath(_: unknown, number: number, now: number): void {
    const path = this.paths[number]!;
    this.index = new PathIndex(this.paths);
    this.held.push(true);
    this.engine.hold(number, INTERCEPT_AWAY, now);
    for (const { covers: covered, state, links, registers, leaks } of this.intercepts) {
      const isCaught = state.welcome !== null && covers(state.welcome, path);
      covered.push(isCaught);
      if (!isCaught) continue;
      state.covers = [...state.covers, number];
      if (!registers || leaks || !this.isInRange(number)) continue;
      for (const { client } of links) client.ranges(rangesOf([path]));
    }
    const catching = this.intercepts.filter((intercept) => intercept.covers[number]);
    if (catching.length === 0 || !catching.every(({ isUp }) => isUp)) return;
    this.held[number] = false;
    this.engine.resume(number, INTERCEPT_AWAY, now);
  }

  /** Asks all intercepts for the whole payload of responses from now on. */
  readWhole(): void {
    for (const { links } of this.intercepts) for (const { client } of links) client.readWhole();
  }

  /** Whether packets may be sent on the path. */
  isOpen(path: number): boolean {
    return !this.held[path];
  }

  /** Of all intercepts, in the order of the configuration. */
  get states(): InterceptState[] {
    return this.intercepts.map(({ state }) => state);
  }

  /** Connects, reads what has come, hands responses to `sink`, and holds or frees paths. Returns the number of responses. */
  run(sink: (packet: Packet) => void, now: number): number {
    this.sink = sink;
    this.taken = 0;
    for (const intercept of this.intercepts) {
      for (const link of intercept.links) link.run(now);
      this.look(intercept, now);
    }
    return this.taken;
  }

  /** Writes what waits to be sent to the intercepts; for the end of a round. */
  flush(): void {
    for (const { links } of this.intercepts) for (const link of links) link.flush();
  }

  /**
   * Writes like `flush`, and waits until the intercepts have read the registrations of new flows. False if that took too
   * long: what is about to be sent must not be sent, and the paths are held until they have. Responses that come meanwhile
   * go to `sink`.
   */
  settle(sink: (packet: Packet) => void): boolean {
    this.flush();
    const leaking = this.intercepts.filter(({ isUnsettled }) => isUnsettled);
    if (leaking.length === 0) return true;
    const links = leaking.flatMap((intercept) => intercept.links.filter(({ isOpen }) => isOpen));
    for (const link of links) link.sync();
    this.flush();
    let now = monotonicMicroseconds();
    const until = now + SETTLE_SPAN;
    for (; now < until && !links.every(({ isSynced }) => isSynced); now = monotonicMicroseconds()) {
      waitForAny(links, 1);
      this.run(sink, now);
    }
    // If a connection is lost meanwhile, it is not known what the intercept has read.
    const isSettled = links.every(({ isSynced, isOpen }) => isSynced && isOpen);
    for (const intercept of leaking) {
      intercept.isUnsettled = false;
      if (isSettled) continue;
      intercept.isReading = true;
      this.look(intercept, now);
    }
    return isSettled;
  }

  /** us until `run` has something to do without being woken, at most `limit`. */
  wait(now: number, limit: number): number {
    let wait = limit;
    for (const { links, isUp } of this.intercepts) {
      for (const link of links) {
        wait = link.wait(now, wait);
        if (!link.isOpen) continue;
        if (this.config.compat && !isUp) wait = Math.min(wait, Math.max(0, TRUST - link.age(now)));
        if (isUp && !this.config.compat)
          wait = Math.min(wait, Math.max(0, SILENCE - link.client.silentFor(now)));
      }
    }
    return wait;
  }

  /** Registers a new flow with the intercepts that do not learn it from its SYN. See EngineConfig.openFlow. */
  openFlow(path: number, port: number, words: Int32Array, at: number, iss: number): void {
    const isDatagram = this.isDatagram(path);
    writeProof(this.rowView, 0, iss + 1, iss + 1, 0, OPENING);
    for (const intercept of this.intercepts) {
      if (!intercept.covers[path]) continue;
      const isTold = intercept.registers && (intercept.leaks || !this.isInRange(path));
      if (isDatagram || isTold) {
        this.register(intercept, path, port, words, at);
        if (isDatagram || intercept.leaks) intercept.isUnsettled = true;
      }
    }
  }

  /** From now on every flow is registered, as if no intercept learned flows. */
  registerAll(): void {
    this.registersAll = true;
    this.engine.setCookie(null);
    for (const intercept of this.intercepts) {
      intercept.registers = true;
      intercept.leaks = intercept.state.welcome?.mode === "target";
    }
  }

  /** Sends a question to the intercepts that catch the responses of a path; `take` gets each answer. Returns how many got it. */
  ask(path: number, what: string, details: object, take: (facts: Facts) => void): number {
    let asked = 0;
    for (const { links, covers } of this.intercepts) {
      if (!covers[path]) continue;
      const id = this.nextQuestion++;
      if (links.find(({ isOpen }) => isOpen)?.client.ask({ id, what, ...details }) !== true) continue;
      this.facts.set(id, take);
      asked++;
    }
    return asked;
  }

  /** Ends all channels with `text` as the reason, and closes the connections. */
  close(text: string): void {
    for (const { links } of this.intercepts) {
      for (const link of links) {
        link.client.bye(text);
        link.flush();
        link.close();
      }
    }
  }

  private makeLink(index: number, intercept: Intercept): InterceptLink {
    return new InterceptLink(this.config.intercepts[index]!, this.config, this.instance, {
      onWelcome: (welcome, link) => this.welcome(intercept, welcome, link),
      onResponse: (packet) => this.take(packet),
      onFacts: (facts) => {
        this.facts.get(facts.id)?.(facts);
        this.facts.delete(facts.id);
      },
      onLost: (text, code) => {
        const { state } = intercept;
        if (code === "tampered" || code === "cut off") this.noteBroken(index, text);
        const said = code !== null && code !== "ended";
        state.isRefused = code !== null && isRefusal(code);
        const isNews = !state.up && (said ? text !== intercept.refusal : state.text === "");
        state.text = text;
        if (said) intercept.refusal = text;
        if (isNews) this.notify(state);
      },
    });
  }

  /** It is connected again within 100 ms, which nobody would notice otherwise. */
  private noteBroken(index: number, text: string): void {
    this.broken++;
    const now = monotonicMicroseconds();
    if (now - this.notedAt < NOTE_INTERVAL) return;
    this.notedAt = now;
    this.note(`intercept ${this.config.intercepts[index]!.label}: the channel broke: ${text}`);
  }

  private take(packet: Packet): void {
    const path = this.index.find(packet);
    if (path < 0) {
      this.strays++;
      return;
    }
    packet.index = path;
    this.taken++;
    this.sink(packet);
  }

  private welcome(intercept: Intercept, welcome: Welcome, link: InterceptLink): void {
    const isAgain = intercept.state.welcome !== null;
    intercept.state.welcome = welcome;
    intercept.covers = this.paths.map((path) => covers(welcome, path));
    intercept.state.covers = this.paths.flatMap((_, path) => (intercept.covers[path] ? [path] : []));
    const learns = welcome.cookie !== null && !this.registersAll;
    intercept.registers = !learns && !this.isInsecure;
    intercept.leaks = intercept.registers && welcome.mode === "target";
    if (learns) this.engine.setCookie(this.instance);
    const inRange = this.paths.filter((_, path) => intercept.covers[path] && this.isInRange(path));
    const ranges = rangesOf(inRange);
    if (intercept.registers && !intercept.leaks && ranges.length > 0) link.client.ranges(ranges);
    // It may have been restarted and know no flow: answers in a flow that it does not know would reach the client.
    if (!isAgain) return;
    if (this.isInsecure) {
      const now = monotonicMicroseconds();
      for (const path of intercept.state.covers) this.engine.endConnections(path, now);
      return;
    }
    let flows = 0;
    for (const path of intercept.state.covers) {
      const registerAgain = (port: number, words: Int32Array, at: number): void => {
        this.register(intercept, path, port, words, at);
        flows++;
      };
      const each: EachFlow = (port, words, at, isOpen, una, max, rcv) => {
        writeProof(this.rowView, 0, una, max, rcv, isOpen ? OPEN : OPENING);
        registerAgain(port, words, at);
      };
      if (this.isDatagram(path)) this.forEachDatagramFlow(path, registerAgain);
      else this.engine.forEachFlow(path, each);
    }
    if (flows === 0) return;
    for (const one of intercept.links) one.sync();
    intercept.isReading = true;
  }

  private isDatagram(path: number): boolean {
    return this.paths[path]!.transport === "udp";
  }

  /** Whether an intercept that catches everything gets a path's address as a range, instead of each flow. */
  private isInRange(path: number): boolean {
    return this.paths[path]!.local !== null && !this.config.compat && !this.sharesAddresses;
  }

  /** Registers a flow; of TCP, with the numbers that are in `row`. */
  private register(intercept: Intercept, path: number, port: number, words: Int32Array, at: number): void {
    const { target, targetPort, local } = this.paths[path]!;
    const { row, rowView } = this;
    row.fill(0, 0, FLOW_BYTES);
    if (local) row.set(local);
    else if (target.length === 4) rowView.setInt32(0, words[at + 3]!);
    else for (let i = 0; i < 4; i++) rowView.setInt32(4 * i, words[at + i]!);
    row.set(target, 16);
    rowView.setUint16(32, port);
    rowView.setUint16(34, targetPort);
    for (let i = 0; i < intercept.links.length; i++) {
      const link = intercept.links[(port + i) % intercept.links.length]!;
      if (!link.isOpen) continue;
      const { client } = link;
      if (this.isDatagram(path) ? client.registerDatagrams(row, 0) : client.register(row, 0)) return;
    }
  }

  /** Looks whether the intercept is up; reports a change, and holds or resumes its paths. */
  private look(intercept: Intercept, now: number): void {
    const { links, state } = intercept;
    let silence = Number.POSITIVE_INFINITY;
    for (const link of links) {
      if (!link.isOpen) continue;
      if (!this.config.compat) silence = Math.min(silence, link.client.silentFor(now));
      else if (link.age(now) >= TRUST) silence = 0;
    }
    if (intercept.isReading && links.every(({ isSynced }) => isSynced)) intercept.isReading = false;
    const isUp = silence < SILENCE && !intercept.isReading;
    const isMentioned = isUp || silence > LONG_SILENCE;
    if (isMentioned && isUp !== state.up) {
      const isSilent = silence !== Number.POSITIVE_INFINITY;
      if (!isUp) this.losses++;
      this.report(intercept, isUp, isUp ? "" : isSilent ? "nothing received from it for 1 s" : state.text);
    }
    if (isUp === intercept.isUp) return;
    intercept.isUp = isUp;
    for (const path of this.paths.keys()) {
      if (!intercept.covers[path]) continue;
      const open = this.intercepts.every((other) => !other.covers[path] || other.isUp);
      if (open === !this.held[path]) continue;
      this.held[path] = !open;
      if (open) this.engine.resume(path, INTERCEPT_AWAY, now);
      else this.engine.hold(path, INTERCEPT_AWAY, now);
    }
  }

  private report(intercept: Intercept, up: boolean, text: string): void {
    intercept.state.up = up;
    intercept.state.text = text;
    if (up) intercept.refusal = "";
    this.notify(intercept.state);
  }
}
