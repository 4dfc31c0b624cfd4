/** The options of `xcopy copy` about protocols above TCP. */
import type { Option } from "./command.ts";

/** The group "Protocols that are understood". */
export const PROTOCOLS: Option[] = [
  {
    name: "protocol",
    value: "[PORT=]NAME",
    values: ["mysql", "http", "none"],
    multiple: true,
    help: "the protocol of all services of -x, or of the one at this port: mysql, http or none",
    details:
      "The exact end of each response is then known without waiting for silence, and MySQL connections log in, prepare and reconnect as the target needs it",
    default:
      "mysql if the target greets as a MySQL server does, which is tried where a port is 3306 or an option about MySQL is given; else none",
  },
  {
    name: "user",
    short: "u",
    value: "LIST",
    values: "anything",
    multiple: true,
    help: "passwords of MySQL users at the target: user@password",
    details: "Separate several by commas. user>other@password logs in as other instead of user",
  },
  {
    name: "mysql-users",
    value: "FILE",
    values: "file",
    help: "passwords as for -u, one user a line, in a file that only its owner may read",
    default: "the credential mysql-users of the service manager, if there is one",
  },
  {
    name: "mysql-skip-grant",
    help: "the MySQL target runs with --skip-grant-tables: it takes any login",
  },
  {
    name: "mysql-database",
    value: "NAME",
    values: "anything",
    help: "the database of MySQL connections that were open before xcopy started",
    default: "that of the logins seen since then, else none",
  },
  {
    name: "trust-logins",
    help: "let MySQL clients in at the target whatever production said to their logins",
    details:
      "Needed where production's responses are not seen: without eBPF, and for recordings of requests only",
    default: "only those that production has let in",
  },
  { name: "read-only", help: "send only MySQL statements that cannot write" },
  { name: "skip-ddl", help: "send no MySQL statements that define data (CREATE, ALTER, DROP, ...)" },
  {
    name: "account-statements",
    help: "send MySQL statements about accounts and the server too (GRANT, SET PASSWORD, KILL, SHUTDOWN, ...)",
    default: "they are not sent",
  },
];
