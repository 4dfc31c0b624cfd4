/** Formats figures for a person, and the types that all accounts share. */

/** `1,200`. */
export function number(value: number): string {
  return value.toLocaleString("en-US");
}

/** `3.4 MB`. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `340 us`, `1.2 ms`, `3.0 s`. */
export function duration(us: number): string {
  if (us < 1000) return `${Math.round(us)} us`;
  return us < 1e6 ? `${(us / 1000).toFixed(1)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

const UNITS: [name: string, seconds: number][] = [
  ["years", 365.25 * 86_400],
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** A long time in its two largest units: `20 years 3 d`, `3 h 12 min`, `1 min 5 s`. */
export function span(us: number): string {
  const seconds = Math.round(us / 1e6);
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  if (first < 0) return duration(us);
  let rest = seconds;
  const parts = UNITS.slice(first, first + 2).map(([name, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count > 0 ? `${number(count)} ${count === 1 && name === "years" ? "year" : name}` : "";
  });
  return parts.filter((part) => part !== "").join(" ");
}

/** A share in percent; never `0 %` or `100 %` unless that is exact. */
export function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return "0 %";
  const share = (100 * part) / whole;
  if (share < 0.01) return "less than 0.01 %";
  return part < whole && share > 99.99 ? "more than 99.99 %" : `${Number(share.toFixed(2))} %`;
}

/** A kind of loss, how often it happened, and what to do about it. */
export interface Loss {
  count: number;
  what: string;
  advice: string;
}

/** CPU time in us, from process.cpuUsage(), and resident memory in bytes, from process.memoryUsage.rss(). */
export interface ProcessUse {
  user: number;
  system: number;
  rss: number;
}
