/** A chart: uPlot in a frame that follows its width, the colour scheme and printing. */
import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useSurroundings } from "./surroundings.ts";

interface Colours {
  production: string;
  target: string;
  neutral: string;
  bad: string;
  text: string;
  grid: string;
}

/** As in style.css. */
const LIGHT: Colours = {
  production: "#2f66b5",
  target: "#b8500b",
  neutral: "#5b6470",
  bad: "#b3261e",
  text: "#5b6470",
  grid: "#e3e6ea",
};
const DARK: Colours = {
  production: "#84b0f5",
  target: "#f2a365",
  neutral: "#9aa4b0",
  bad: "#ff8f85",
  text: "#9aa4b0",
  grid: "#2b313a",
};

export interface Line {
  label: string;
  colour: "production" | "target" | "neutral" | "bad";
  /** Production's lines are dashed, so that the two differ without colours too. */
  isDashed?: boolean;
  width?: number;
}

interface ChartProps {
  title: string;
  /** The same in words, for those who do not see it. */
  description: string;
  lines: readonly Line[];
  /** x, then the values of each line; null: none here. */
  data: uPlot.AlignedData;
  /** What is said of one place: its x and the values of the lines. */
  formatX: (x: number) => string;
  formatY: (y: number) => string;
  scales: { x: uPlot.Scale; y: uPlot.Scale };
  /** The marks on an axis, where uPlot's are not wanted. */
  splitsX?: (low: number, high: number) => number[];
  splitsY?: (low: number, high: number) => number[];
  height: number;
  /** Whether a line ends where it has no value, and goes on where it has one again. */
  hasGaps?: boolean;
}

/** px of a chart on paper, two beside each other. */
const PRINTED_WIDTH = 330;
const FONT = "11px system-ui, sans-serif";

function optionsOf(props: ChartProps, width: number, colours: Colours): uPlot.Options {
  const axis = {
    stroke: colours.text,
    font: FONT,
    grid: { stroke: colours.grid, width: 1 },
    ticks: { show: false },
    filter: (_: uPlot, splits: number[]) => splits,
  };
  const splitsBy = (splits: ((low: number, high: number) => number[]) | undefined) =>
    splits ? { splits: (_: uPlot, __: number, low: number, high: number) => splits(low, high) } : {};
  const isShort = props.data[0].length < 3;
  return {
    width,
    height: props.height,
    padding: [8, 22, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: true, markers: { width: 2 } },
    scales: props.scales,
    axes: [
      {
        ...axis,
        ...splitsBy(props.splitsX),
        size: 26,
        space: 64,
        values: (_, splits) => splits.map((x) => props.formatX(x)),
      },
      {
        ...axis,
        ...splitsBy(props.splitsY),
        size: 62,
        values: (_, splits) => splits.map((y) => props.formatY(y).replace(".0 ", " ")),
      },
    ],
    series: [
      { label: "", value: (_, x) => (x === null ? "" : props.formatX(x)) },
      ...props.lines.map(({ label, colour, isDashed, width = 1.5 }) => ({
        label,
        stroke: colours[colour],
        width,
        ...(isDashed ? { dash: [5, 3] } : {}),
        spanGaps: !props.hasGaps,
        points: { show: isShort, size: 6, fill: colours[colour] },
        value: (_: uPlot, y: number | null) => (y === null ? "" : props.formatY(y)),
      })),
    ],
  };
}

export function Chart(props: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { isDark, isPrinting } = useSurroundings();
  const isShort = props.data[0].length < 3;
  const isEmpty = props.data[0].length === 0;
  // Drawn anew when it looks otherwise; new values alone go into the one that is there.
  useLayoutEffect(() => {
    const parent = frame.current;
    if (!parent || isEmpty) return;
    const width = isPrinting ? PRINTED_WIDTH : Math.max(parent.clientWidth, 200);
    const created = new uPlot(optionsOf(props, width, isDark ? DARK : LIGHT), props.data, parent);
    plot.current = created;
    const observer = new ResizeObserver(() => {
      const width = parent.clientWidth;
      if (!isPrinting && width > 0 && width !== created.width)
        created.setSize({ width, height: props.height });
    });
    observer.observe(parent);
    return () => {
      observer.disconnect();
      created.destroy();
      plot.current = null;
    };
  }, [isDark, isPrinting, isShort, isEmpty, props.lines]);
  useLayoutEffect(() => plot.current?.setData(props.data), [props.data]);
  return html`<figure class="chart">
    <figcaption>${props.title}</figcaption>
    ${
      isEmpty
        ? html`<p class="none" style=${{ minHeight: `${props.height}px` }}>nothing to draw yet</p>`
        : html`<div ref=${frame} role="img" aria-label=${`${props.title}: ${props.description}`}></div>`
    }
  </figure>`;
}

/** A range that has a width, also where all values are the same. */
export function wide(low: number | null, high: number | null, least: number): [number, number] {
  const from = low ?? 0;
  const to = high ?? from;
  return to - from < least ? [from, from + least] : [from, to];
}

/** 1, 2, 5, 10, ... from `low` to `high`; only powers of ten where that would be many. */
export function roundNumbers(low: number, high: number): number[] {
  const steps = high / low > 2000 ? [1] : high / low > 100 ? [1, 3] : [1, 2, 5];
  const marks: number[] = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    for (const step of steps) if (step * power >= low && step * power <= high) marks.push(step * power);
  }
  return marks;
}
