/** Targets take sessions in turns, by weight and evenly mixed (nginx's smooth weighted round-robin). */

/** The index of the target whose turn it is. `credit`: what each is owed, zeros at the start. */
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

/** Credits as after so many turns. */
export function creditAfter(route: readonly { weight: number }[], turns: number): number[] {
  const credit = route.map(() => 0);
  for (let turn = 0; turn < turns; turn++) nextTarget(route, credit);
  return credit;
}
