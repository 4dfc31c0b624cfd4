/** `xcopy demo`: runs the demo, or one of the processes that the demo starts (service, client). */

import { DEMO } from "../command-line/demo.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";
import type { ClientOptions } from "../demo/client.ts";

/** What a process that the demo started has to do: the JSON in the environment variable ROLE. */
interface Role {
  service?: number;
  client?: ClientOptions;
}

async function playRole({ service, client }: Role): Promise<void> {
  if (service !== undefined) (await import("../demo/service.ts")).runService(service);
  if (client) await (await import("../demo/client.ts")).runClient(client);
  // The service ends this process itself.
  await new Promise(() => {});
}

export default strictCommand(DEMO, async () => {
  const { ROLE, runDemo } = await import("../demo/run.ts");
  const role = process.env[ROLE];
  if (role) await playRole(JSON.parse(role) as Role);
  else if (!(await runDemo())) process.exitCode = 1;
});
