/** How a new plan is numbered, given what runs. */
import { describe, expect, test } from "bun:test";
import { parseTransfers, resolveTransfers } from "../../../src/config/transfer.ts";
import type { Plan } from "../../../src/copy/plan.ts";
import {
  type Difference,
  differenceOf,
  type Numbered,
  numberedOf,
} from "../../../src/copy/reload/difference.ts";

/** A plan with these transfers: a path for each distinct target, from this host's own address. */
async function planOf(transfers: string): Promise<Plan> {
  const services = await resolveTransfers(
    parseTransfers([transfers]),
    () => Promise.reject(new Error("no names")),
    async ({ addresses }) => addresses[0]!,
  );
  const paths: Plan["paths"] = [];
  const known = new Map<string, number>();
  return {
    usesPool: false,
    paths,
    services: services.map((service) => ({
      ...service,
      routes: service.routes.map((route) => ({
        ...route,
        targets: route.targets.map((target) => {
          const { bytes, family } = target.address;
          const { transport } = service;
          const key = `${transport} ${bytes} ${target.port}`;
          if (!known.has(key)) {
            const local = new Uint8Array(4);
            const path = { family, local, target: bytes, targetPort: target.port, egress: 0 };
            known.set(key, paths.push({ ...path, ...(transport && { transport }) }) - 1);
          }
          return { ...target, paths: [known.get(key)!] };
        }),
      })),
    })),
  } as unknown as Plan;
}

/** `0:80 [a*1 b*0] [...]` of each service, with the last number of each address. */
function shape({ services }: Numbered): string[] {
  return services.map(({ key, routes }) => {
    const texts = routes.map((route) =>
      route
        .map(({ endpoint, weight, paths }) => `${/(\d+):\d+$/.exec(endpoint)![1]}*${weight}@${paths}`)
        .join(" "),
    );
    return `${key} [${texts.join("] [")}]`;
  });
}

async function change(...plans: [first: string, ...later: string[]]): Promise<Difference> {
  let numbered = numberedOf(await planOf(plans[0]));
  let difference: Difference | undefined;
  for (const transfers of plans.slice(1)) {
    difference = differenceOf(numbered, await planOf(transfers));
    numbered = difference.next;
  }
  return difference!;
}

describe("a new plan", () => {
  const cases: [what: string, plans: [string, ...string[]], shapes: string[], lines: string[]][] = [
    ["the same", ["80-10.0.0.2", "80-10.0.0.2"], ["80 [2*1@0]"], []],
    [
      "a service more, written first",
      ["80-10.0.0.2", "81-10.0.0.3,80-10.0.0.2"],
      ["80 [2*1@0]", "81 [3*1@1]"],
      ["+81-10.0.0.3:81"],
    ],
    [
      "a service less",
      ["80-10.0.0.2,81-10.0.0.3", "81-10.0.0.3"],
      ["80 [2*0@0]", "81 [3*1@1]"],
      ["-80-10.0.0.2:80"],
    ],
    [
      "one target more, and the first one less",
      ["80-10.0.0.2", "80-10.0.0.2,80-10.0.0.3", "80-10.0.0.3"],
      ["80 [2*0@0] [3*1@1]"],
      ["-80-10.0.0.2:80"],
    ],
    [
      "a target that comes back has its number again",
      ["80-10.0.0.2,80-10.0.0.3", "80-10.0.0.3", "80-10.0.0.2,80-10.0.0.3"],
      ["80 [2*1@0] [3*1@1]"],
      ["+80-10.0.0.2:80"],
    ],
    [
      "weights",
      ["80-10.0.0.2|10.0.0.3", "80-10.0.0.2|10.0.0.3*3"],
      ["80 [2*1@0 3*3@1]"],
      ["-80-10.0.0.2:80|10.0.0.3:80", "+80-10.0.0.2:80|10.0.0.3:80*3"],
    ],
    [
      "a target of a group less, another more",
      ["80-10.0.0.2|10.0.0.3", "80-10.0.0.3|10.0.0.4"],
      ["80 [2*0@0 3*1@1 4*1@2]"],
      ["-80-10.0.0.2:80|10.0.0.3:80", "+80-10.0.0.3:80|10.0.0.4:80"],
    ],
    [
      "another order of routes is no change",
      ["80-10.0.0.2,80-10.0.0.3", "80-10.0.0.3,80-10.0.0.2"],
      ["80 [2*1@0] [3*1@1]"],
      [],
    ],
    [
      "of TCP and UDP",
      ["53-10.0.0.2", "53-10.0.0.2,udp:53-10.0.0.2"],
      ["53 [2*1@0]", "udp:53 [2*1@1]"],
      ["+udp:53-10.0.0.2:53"],
    ],
    [
      "a service of one address beside that of all",
      ["80-10.0.0.2", "80-10.0.0.2,10.1.0.1:80-10.0.0.2"],
      ["80 [2*1@0]", "10.1.0.1:80 [2*1@0]"],
      ["+10.1.0.1:80-10.0.0.2:80"],
    ],
  ];
  test.each(cases)("%s", async (_, plans, shapes, lines) => {
    const difference = await change(...plans);
    expect(shape(difference.next)).toEqual(shapes);
    expect(difference.lines).toEqual(lines);
  });

  test("says which numbers its own services and paths have, and what is to be tried", async () => {
    const difference = await change("80-10.0.0.2,81-10.0.0.3", "82-10.0.0.4,81-10.0.0.3,81-10.0.0.2:80");
    expect(difference).toMatchObject({
      serviceOf: [2, 1],
      pathOf: [2, 1, 0],
      added: [2],
      changed: [0, 1, 2],
      removed: [0],
      opened: [2],
    });
  });

  test("a target that is back is tried again", async () => {
    expect((await change("80-10.0.0.2,80-10.0.0.3", "80-10.0.0.3", "80-10.0.0.2")).opened).toEqual([0]);
  });
});
