/** Sharing sessions out to the targets of a route by weight, evenly mixed (nginx's smooth weighted round-robin). */

/** The index of the next target. `credit`: one number for each target, zeros at the start; changed by each call. */
export function nextTarget(route: readonly { weight: number }[], credit: number[]): number {
  let total = 0;
  let best = 0;
  for (let target = 0; target < route.length; target++) {
    total += route[target]!.weight;
    credit[target]! += route[target]!.weight;
    if (credit[target]! > credit[best]!) best = target;
  }
  credit[best]! -= total;
  return best;
}

/** The credits after `count` calls of `nextTarget`. */
export function creditAfter(route: readonly { weight: number }[], count: number): number[] {
  const credit = route.map(() => 0);
  for (let i = 0; i < count; i++) nextTarget(route, credit);
  return credit;
}

/** The numbers of the copies of each session: see EngineConfig. */
export function copiesOf(routes: readonly (readonly { weight: number }[])[], replicas: number): number[] {
  return routes.flatMap((route, index) =>
    route.some(({ weight }) => weight > 0)
      ? Array.from({ length: replicas }, (_, replica) => index * replicas + replica)
      : [],
  );
}

/** The route of a copy. */
export function routeOf(copy: number, replicas: number): number {
  return Math.floor(copy / replicas);
}
