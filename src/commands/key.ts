/** `xcopy key`: makes a key for the channel between copy and intercept. */

import { KEY } from "../command-line/key.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";

export default strictCommand(KEY, async (args) => {
  const path = args.get("file")![0]!;
  const { KEY_FILE, makeKeyFile } = await import("../channel/key.ts");
  const fingerprint = makeKeyFile(path);
  console.error(
    path === KEY_FILE
      ? `made ${path}: take it to the same place on the other hosts ("scp -p ${path} root@HOST:${path}"); xcopy copy -s and xcopy intercept then use it`
      : `made ${path}: take it to the other hosts ("scp -p ${path} root@HOST:${KEY_FILE}"), and name it with --key-file ${path} here`,
  );
  console.error("both sides print its fingerprint when they start:");
  console.log(fingerprint);
});
