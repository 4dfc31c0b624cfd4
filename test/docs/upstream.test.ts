/** The pages for those who come from another tool name each of its options, and xcopy's own as they are. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandSpec, groupsOf } from "../../src/command-line/command.ts";
import { COPY } from "../../src/command-line/copy.ts";
import { INTERCEPT } from "../../src/command-line/intercept.ts";
import { ROOT } from "./pages.ts";

/** Letters of tcpcopy 1.3.0 and intercept 1.0.0, in every way of building them. */
const TCPCOPY_LETTERS = "xHciaITFBSonfmMDRUCstklrpPOgWLdvh";
const INTERCEPT_LETTERS = "iFxqnpsbDclPvhdt";

const CONFIGURE = {
  tcpcopy:
    "offline pcap-capture pcap-send single million udp dnat select disable-combined set-protocol-module with-pfring " +
    "with-tcmalloc with-debug with-detect-memory prefix sbin-path conf-path pid-path error-log-path builddir with-cc " +
    "with-cpp with-cc-opt with-ld-opt",
  intercept:
    "traditional nfqueue pcap-capture single million dnat select disable-combined with-resp-payload with-pfring with-debug",
};

/** What `gor --help` of GoReplay 1.3 lists, without the rest of the families that the page names by one of them. */
const GOREPLAY =
  "copy-buffer-size cpuprofile exit-after http-allow-header http-allow-method http-allow-url http-basic-auth-filter " +
  "http-disallow-header http-disallow-url http-header-limiter http-original-host http-param-limiter http-pprof " +
  "http-rewrite-header http-rewrite-url http-set-header http-set-param input-dummy input-file input-file-dry-run " +
  "input-file-loop input-file-max-wait input-file-read-depth input-kafka-host input-raw input-raw-allow-incomplete " +
  "input-raw-bpf-filter input-raw-buffer-size input-raw-buffer-timeout input-raw-engine input-raw-expire " +
  "input-raw-ignore-interface input-raw-k8s-nomatch-nocap input-raw-k8s-skip-ns input-raw-k8s-skip-svc " +
  "input-raw-monitor input-raw-override-snaplen input-raw-promisc input-raw-protocol input-raw-realip-header " +
  "input-raw-stats input-raw-timestamp-type input-raw-track-response input-raw-vlan input-raw-vlan-vid " +
  "input-raw-vxlan-port input-raw-vxlan-vni input-tcp kafka-tls-ca-cert memprofile middleware output-binary " +
  "output-binary-debug output-binary-timeout output-binary-track-response output-binary-workers output-file " +
  "output-file-append output-file-buffer output-file-flush-interval output-file-max-size-limit output-file-queue-limit " +
  "output-file-size-limit output-http output-http-debug output-http-elasticsearch output-http-queue-len " +
  "output-http-redirects output-http-response-buffer output-http-skip-verify output-http-stats output-http-stats-ms " +
  "output-http-timeout output-http-track-response output-http-worker-timeout output-http-workers " +
  "output-http-workers-min output-kafka-host output-null output-stdout output-tcp output-tcp-stats output-ws " +
  "prettify-http recognize-tcp-sessions split-output stats verbose";

const page = (name: string) => readFileSync(join(ROOT, "docs", name), "utf8");

/** The cells of all rows of tables below headings that match, and not below others. */
function rowsBelow(text: string, heading: RegExp): string[][] {
  const sections = text.split(/^(?=## )/m).filter((section) => heading.test(section.split("\n", 1)[0]!));
  return sections.flatMap((section) =>
    [...section.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row!.split(/(?<!\\) ?\| ?/)),
  );
}

/** Letters of options that stand between backticks in a cell. */
const lettersOf = (cell = "") => [...cell.matchAll(/`-([A-Za-z])\b/g)].map(([, letter]) => letter!);

/** The long name of the option with a letter. */
const nameOf = (spec: CommandSpec, letter: string) =>
  Object.values(groupsOf(spec))
    .flat()
    .find(({ short }) => short === letter)?.name;

test.each([
  ["tcpcopy", TCPCOPY_LETTERS, COPY, Object.keys(COPY.refused ?? {})],
  // An intercept 1.x refuses it too.
  ["intercept", INTERCEPT_LETTERS, INTERCEPT, ["t"]],
] as [string, string, CommandSpec, string[]][])(
  "every option of %s has its row, with what it is here",
  (tool, letters, spec, refused) => {
    const rows = rowsBelow(page("from-tcpcopy.md"), new RegExp(`^## ${tool}, flag by flag`));
    const wrong = [...letters].flatMap((letter) => {
      const row = rows.find(([cell]) => lettersOf(cell).includes(letter));
      if (!row) return [`-${letter}: no row`];
      const [, here = ""] = row;
      const name = nameOf(spec, letter);
      const isHere = name !== undefined || ["v", "h"].includes(letter);
      if (here.includes("refused") !== refused.includes(letter)) return [`-${letter}: refused, or not?`];
      if (refused.includes(letter)) return isHere ? [`-${letter} is there`] : [];
      if (!isHere) return [`-${letter}: there is no such option`];
      const long = [...here.matchAll(/`--([a-z-]+)/g)].map(([, word]) => word!);
      return long.length === 0 || long.includes(name ?? "") ? [] : [`-${letter} is --${name}`];
    });
    expect(wrong).toEqual([]);
  },
);

test.each(Object.entries(CONFIGURE))("every choice of the configure of %s has its row", (tool, names) => {
  const text = page("from-tcpcopy.md");
  const [, ...tables] = text.split(/^(?=\| `configure` of )/m);
  const table = tables.find((one) => one.startsWith(`| \`configure\` of ${tool} `))!.split("\n\n", 1)[0]!;
  const cells = [...table.matchAll(/^\| ([^|]*) \|/gm)].map(([, cell]) => cell).join("\n");
  expect(names.split(" ").filter((name) => !new RegExp(`\`--${name}[\`=]`).test(cells))).toEqual([]);
});

test("every option of GoReplay has its row", () => {
  const cells = [...page("from-goreplay.md").matchAll(/^\| ((?:\\\||[^|])*) \|/gm)]
    .map(([, cell]) => cell)
    .join("\n");
  expect(GOREPLAY.split(" ").filter((name) => !new RegExp(`--${name}[\` ]`).test(cells))).toEqual([]);
});
