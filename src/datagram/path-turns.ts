/** Which path the next flow of a service takes: the targets of a route by weight, the paths of a target in turn. */
import { nextTarget } from "../engine/sessions/weights.ts";
import type { DatagramService } from "./config.ts";

type Routes = DatagramService["routes"];

export class PathTurns {
  private readonly routes: Routes[];
  /** By service, route and target: its credit (see `nextTarget`). */
  private readonly credit: number[][][];
  /** By service, route and target: index of the path that its next flow takes. */
  private readonly rotation: number[][][];

  /** `services`: by index; undefined for those of other protocols. */
  constructor(services: readonly (DatagramService | undefined)[]) {
    this.routes = services.map((service) => service?.routes ?? []);
    const zeros = () => this.routes.map((routes) => routes.map((route) => route.map(() => 0)));
    this.credit = zeros();
    this.rotation = zeros();
  }

  /** The service of this index, which may be new, from now on; the routes that it had keep their places. */
  set(index: number, service: DatagramService | undefined): void {
    const rotation = this.rotation[index] ?? [];
    const routes = service?.routes ?? [];
    this.routes[index] = routes;
    this.credit[index] = routes.map((route) => route.map(() => 0));
    this.rotation[index] = routes.map((route, r) => route.map((_, target) => rotation[r]?.[target] ?? 0));
  }

  /** The path of the next flow of a service's route: its targets are evenly mixed (nginx's smooth weighted round-robin). */
  next(service: number, route: number): number {
    const targets = this.routes[service]![route]!;
    const best = nextTarget(targets, this.credit[service]![route]!);
    const { paths } = targets[best]!;
    const rotation = this.rotation[service]![route]!;
    const turn = rotation[best]!;
    rotation[best] = turn + 1 === paths.length ? 0 : turn + 1;
    return paths[turn]!;
  }
}
