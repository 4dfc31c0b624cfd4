/** Runs `xcopy top`: once, or on the terminal until a key or a signal ends it. */
import type { Report } from "../compare/report.ts";
import { listenForStop } from "../host/signals.ts";
import { Failure } from "../native/failure.ts";
import { Copies, type CopySeen } from "./copies.ts";
import { openScreen } from "./screen.ts";
import { plain } from "./text.ts";
import { type Canvas, ORDERS, renderCopies, renderCopy } from "./view.ts";

export interface TopOptions {
  /** Null: all copies. */
  pid: number | null;
  once: boolean;
  json: boolean;
}

/** ms between two looks; a report is made anew each time, which costs the copy more than its account. */
const INTERVAL = 1000;
/** ms between the two looks from which a rate is known. */
const BETWEEN = 500;
/** Columns where standard output is no terminal. */
const FILE_COLUMNS = 120;

function gone(pid: number): Failure {
  return new Failure(
    `Cannot show the copy "${pid}": no copy of this user has this process id`,
    '"xcopy top" shows all that this user may see; root sees those of others too.',
    1,
  );
}

async function reportOf(copies: Copies, pid: number): Promise<Report> {
  const report = await copies.report(pid).catch((error: Error) => {
    throw new Failure(
      `Cannot show the copy "${pid}": ${error.message}`,
      "Try it again, as its user or as root.",
      1,
    );
  });
  if (report === null) throw gone(pid);
  return report;
}

/** Prints what there is now. */
async function printOnce({ pid, json }: TopOptions, copies: Copies): Promise<void> {
  const canvas: Canvas = {
    columns: process.stdout.columns || FILE_COLUMNS,
    rows: Number.POSITIVE_INFINITY,
    paint: plain,
  };
  if (pid !== null) {
    const report = await reportOf(copies, pid);
    const lines = () => renderCopy(pid, report, { order: "worse", from: 0 }, canvas).join("\n");
    console.log(json ? JSON.stringify({ pid, report }) : lines());
    return;
  }
  if ((await copies.look()).length > 0) await Bun.sleep(BETWEEN);
  const seen = await copies.look();
  const lines = () => renderCopies(seen, copies.mute, -1, canvas).join("\n");
  console.log(json ? JSON.stringify({ copies: seen, mute: copies.mute }) : lines());
}

/** The state of the screen: which copy is open, which row of the list is selected, how its endpoints are sorted. */
class View {
  private seen: CopySeen[] = [];
  private report: Report | null = null;
  private selected = 0;
  private order = 0;
  private from = 0;
  private note = "";

  constructor(
    private readonly copies: Copies,
    private open: number | null,
    private readonly isAlone: boolean,
  ) {}

  async look(): Promise<void> {
    const { open } = this;
    if (open === null) {
      this.seen = await this.copies.look();
      this.selected = Math.max(0, Math.min(this.selected, this.seen.length - 1));
      return;
    }
    const report = await this.copies.report(open).catch((error: Error) => error);
    if (this.open !== open) return;
    this.note = report instanceof Error ? report.message : report === null ? "it has ended" : "";
    if (report !== null && !(report instanceof Error)) this.report = report;
  }

  /** Takes a key; "quit" where it ends the program, "look" where something else is to be asked for. */
  take(key: string): "quit" | "look" | null {
    if (key === "q") return "quit";
    if (key === "s") this.order = (this.order + 1) % ORDERS.length;
    const step = { up: -1, down: 1, "page up": -10, "page down": 10 }[key] ?? 0;
    if (this.open === null) {
      this.selected = Math.max(0, Math.min(this.selected + step, this.seen.length - 1));
      const chosen = this.seen[this.selected];
      if (key !== "enter" || !chosen) return null;
      this.open = chosen.pid;
      this.report = null;
      this.from = 0;
      return "look";
    }
    this.from = Math.max(0, Math.min(this.from + step, (this.report?.endpoints.length ?? 1) - 1));
    if (key !== "escape") return null;
    if (this.isAlone) return "quit";
    this.open = null;
    return "look";
  }

  render(canvas: Canvas): string[] {
    const inner = { ...canvas, rows: canvas.rows - 1 };
    const { open, report } = this;
    if (open === null) {
      const lines = renderCopies(this.seen, this.copies.mute, this.selected, inner);
      return this.withKeys(lines, "up down  enter: open  q: quit", canvas);
    }
    const order = ORDERS[this.order]!;
    const lines = report ? renderCopy(open, report, { order, from: this.from }, inner) : [`xcopy ${open}`];
    const keys = `up down  s: sort by ${ORDERS[(this.order + 1) % ORDERS.length]}  ${this.isAlone ? "" : "esc: all copies  "}q: quit`;
    return this.withKeys(lines, this.note === "" ? keys : `${this.note}  q: quit`, canvas);
  }

  private withKeys(lines: string[], keys: string, { rows, columns, paint }: Canvas): string[] {
    const padding = Array<string>(Math.max(0, rows - 1 - lines.length)).fill("");
    return [...lines.slice(0, rows - 1), ...padding, paint(keys.slice(0, columns), "dim")];
  }
}

async function runOnTerminal({ pid }: TopOptions, copies: Copies): Promise<void> {
  if (pid !== null) await reportOf(copies, pid);
  const stop = listenForStop();
  const quit = Promise.withResolvers<void>();
  const view = new View(copies, pid, pid !== null);
  const draw = () => screen.draw(view.render(screen.canvas()));
  let isLooking = false;
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    await view.look();
    isLooking = false;
    draw();
  };
  const screen = openScreen((key) => {
    const what = view.take(key);
    if (what === "quit") quit.resolve();
    else if (what === "look") look();
    draw();
  }, draw);
  await look();
  const timer = setInterval(look, INTERVAL);
  await Promise.race([quit.promise, stop.first]);
  clearInterval(timer);
  screen.leave();
}

/** Shows copies. Throws a Failure (exit code 1) where the one that is asked for is not there. */
export async function runTop(options: TopOptions): Promise<void> {
  const copies = new Copies();
  const isPrinted = options.once || options.json || !process.stdout.isTTY || process.env.TERM === "dumb";
  await (isPrinted ? printOnce(options, copies) : runOnTerminal(options, copies));
}
