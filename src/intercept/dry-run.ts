/** What `xcopy intercept --dry-run` prints. */
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { formatNetwork } from "../config/networks.ts";
import { formatService } from "../config/service.ts";
import type { InterceptOptions } from "./options.ts";
import type { InterceptPlan } from "./plan.ts";

const HOOKS = {
  auto: "tcx, or clsact where the kernel has no tcx",
  tcx: "tcx",
  clsact: "clsact",
  xdp: "XDP, in the driver where it can",
};
const PREFERRED =
  "XDP in the driver, which is known to support it well, on interfaces that nothing else uses";

function caught(
  { mode, services, filter }: InterceptPlan,
  { pass, queue }: InterceptOptions,
): [string, string][] {
  const names = services.map(formatService).join(", ");
  if (mode === "target")
    return [
      ["learn", `connections to ${names} whose SYN carries the cookie of a copy; they pass unchanged`],
      [
        "catch",
        "what these ports send in such connections: headers to the copy, packets dropped; nothing else",
      ],
    ];
  if (mode === "assistant")
    return [["catch", `${filter}: headers to the copies, packets dropped, all of them`]];
  const passed = pass.map(({ bytes }) => formatAddress(bytes)).join(", ");
  const rule: [string, string][] =
    services.length > 0
      ? [["rule", `responses of ${names} go to netfilter queue ${queue}, and pass when nobody reads it`]]
      : [["rule", `none: your own rule must send responses to netfilter queue ${queue}`]];
  return [
    ...rule,
    [
      "catch",
      `headers to the copies, packets dropped${passed ? `, but those to ${passed} pass` : ", all of them"}`,
    ],
  ];
}

/** Where programs would be attached, what they would catch and drop, and who may connect. */
export function renderInterceptPlan(plan: InterceptPlan, options: InterceptOptions, hasKey: boolean): string {
  const lines: [name: string, text: string][] = [["mode", plan.mode], ...caught(plan, options)];
  if (plan.interfaces.length > 0) {
    const way = plan.mode === "target" ? "ingress and egress" : "ingress";
    lines.push([
      "attach",
      `at ${way} by ${plan.prefersXdp ? PREFERRED : HOOKS[options.hook]}: ${plan.interfaces.map(({ name }) => name).join(", ")}`,
    ]);
  }
  for (const { from, to } of options.translations)
    lines.push([
      "translate",
      `responses to ${formatAddress(from.bytes)} are taken as if to ${formatAddress(to.bytes)}`,
    ]);
  const where = plan.listen.map(({ bytes }) => formatEndpoint(bytes, plan.port)).join(", ");
  const from = options.compat?.from.map(formatNetwork).join(", ");
  const who = [
    hasKey ? "copies with the key" : options.insecure ? "any copy" : "no copy",
    from && `any tcpcopy 1.x from ${from}`,
  ]
    .filter(Boolean)
    .join(", and ");
  lines.push(["listen", `on ${where}, for ${who}`]);
  if (plan.mode !== "nfqueue" && options.linger > 0)
    lines.push([
      "linger",
      `after the end, responses are dropped for another ${options.linger} s if the target may still answer`,
    ]);
  return [
    "Nothing is touched. Without --dry-run this would happen:",
    "",
    ...lines.map(([name, text]) => `${name.padEnd(10)}${text}`),
  ].join("\n");
}
