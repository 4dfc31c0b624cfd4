/** What a run of `bun test` says in its report, JUnit's XML. */
import { XMLParser } from "fast-xml-parser";

export interface FileReport {
  /** As in the report: "test/e2e/mysql.test.ts". */
  file: string;
  seconds: number;
  passed: number;
  skipped: number;
  /** One line each: the test and the beginning of what went wrong. */
  failures: string[];
}

interface Case {
  name: string;
  failure?: unknown;
  error?: unknown;
  skipped?: unknown;
}
interface Suite {
  name: string;
  file: string;
  time: string;
  testsuite?: Suite[];
  testcase?: Case[];
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "",
  isArray: (name) => name === "testsuite" || name === "testcase",
  htmlEntities: true,
  // Its bounds are against hostile documents; a long message has thousands.
  processEntities: {
    enabled: true,
    maxTotalExpansions: Number.POSITIVE_INFINITY,
    maxExpandedLength: Number.POSITIVE_INFINITY,
  },
});

/** By file, in the order in which they ran. Throws on what is no report. */
export function parseReport(xml: string): FileReport[] {
  const { testsuites } = parser.parse(xml) as { testsuites: { testsuite?: Suite[] } };
  return (testsuites.testsuite ?? []).map((suite) => {
    const cases = casesOf(suite);
    const failed = cases.filter(({ failure, error }) => failure !== undefined || error !== undefined);
    const skipped = cases.filter((one) => one.skipped !== undefined).length;
    return {
      file: suite.file,
      seconds: Number(suite.time),
      passed: cases.length - failed.length - skipped,
      skipped,
      failures: failed.map(({ name, failure, error }) => `${name}: ${messageOf(failure ?? error)}`),
    };
  });
}

export interface CaseReport {
  /** With the names of the suites that it is in: "capture > tcx". */
  name: string;
  /** The beginning of what went wrong; null if it passed. */
  failure: string | null;
}

/** Every test that ran, those in suites first. Throws on what is no report. */
export function parseCases(xml: string): CaseReport[] {
  const { testsuites } = parser.parse(xml) as { testsuites: { testsuite?: Suite[] } };
  const ofSuite = (suite: Suite, above: string): CaseReport[] => [
    ...(suite.testsuite ?? []).flatMap((inner) => ofSuite(inner, `${above}${inner.name} > `)),
    ...(suite.testcase ?? [])
      .filter(({ skipped }) => skipped === undefined)
      .map(({ name, failure, error }) => ({
        name: above + name,
        failure: failure === undefined && error === undefined ? null : messageOf(failure ?? error),
      })),
  ];
  return (testsuites.testsuite ?? []).flatMap((file) => ofSuite(file, ""));
}

function casesOf(suite: Suite): Case[] {
  return [...(suite.testcase ?? []), ...(suite.testsuite ?? []).flatMap(casesOf)];
}

function messageOf(failure: unknown): string {
  const { message = "", type = "failed" } = failure as { message?: string; type?: string };
  return (message || type).replaceAll(/\s+/g, " ").trim().slice(0, 400);
}
