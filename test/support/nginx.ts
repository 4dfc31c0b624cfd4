/** nginx as the service on either side, with a log of every request it answered. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Lab, listens } from "./lab.ts";
import { type Running, run } from "./process.ts";
import { until } from "./until.ts";

export interface Nginx extends Running {
  /** One line per request in the order of their ends: see `parseRequests`. */
  log: string;
  /** Holds one file per POST body, named in the log. */
  bodies: string;
}

export interface NginxOptions {
  /** Worker processes; 0 for a single process. */
  workers?: number;
  /** More parameters of "listen", such as "http2". */
  listen?: string;
  /** More directives of the server. */
  server?: string;
  /** A command that runs it, such as "nice". */
  prefix?: string[];
}

/** What it says before it has read its configuration goes to stderr; before version 1.19.5 to /var/log/nginx/error.log. */
const EARLY_ERRORS = Bun.spawnSync(["nginx", "-h"]).stderr.includes("-e filename") ? ["-e", "stderr"] : [];

let started = 0;

/**
 * Starts nginx in a namespace and resolves when it listens. It answers GET with 200 and about 200 bytes at once, and
 * POST after it has written the body to a file.
 */
export async function startNginx(
  lab: Lab,
  namespace: string,
  port: number,
  options: NginxOptions = {},
): Promise<Nginx> {
  const directory = join(lab.directory, `nginx-${started++}`);
  mkdirSync(directory);
  const log = join(directory, "access.log");
  const config = join(directory, "nginx.conf");
  await Bun.write(config, configuration(directory, port, options));
  const prefix = options.prefix ?? [];
  const process = lab.start(namespace, [...prefix, "nginx", ...EARLY_ERRORS, "-p", directory, "-c", config]);
  await until(`nginx listens on ${port}\n${process.errors.join("\n")}`, () => {
    if (process.ended()) throw new Error(`nginx ended:\n${process.errors.join("\n")}`);
    return listens(process.pid, port);
  });
  return { ...process, log, bodies: join(directory, "bodies") };
}

function configuration(
  directory: string,
  port: number,
  { workers = 0, listen = "", server = "" }: NginxOptions,
): string {
  // The fields before the tab must be equal on both sides; see src of parseRequests for what follows.
  return `
daemon off;
${workers ? `worker_processes ${workers};` : "master_process off;"}
user root;
pid ${directory}/nginx.pid;
worker_rlimit_nofile 20000;
events { worker_connections 16000; multi_accept on; }
http {
  log_format request '$request_length $status "$request" "$http_host" "$http_x_fill"'
    '\\t$msec $remote_addr $remote_port $request_body_file $pid:$connection';
  log_format path '$uri';
  access_log ${directory}/access.log request;
  client_body_temp_path ${directory}/bodies;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600;
  client_body_in_file_only on;
  client_max_body_size 0;
  server {
    listen ${port} backlog=4096 ${workers ? "reuseport" : ""} ${listen};
    listen [::]:${port} backlog=4096 ${workers ? "reuseport" : ""} ${listen};
    ${server}
    location / { return 200 "${"0123456789".repeat(20)}\\n"; }
    # nginx reads a body to its end only where it hands the request on.
    location /post { proxy_pass http://unix:${directory}/answer; proxy_pass_request_body off; proxy_set_header Content-Length ""; }
  }
  server {
    listen unix:${directory}/answer;
    access_log off;
    return 200 "stored\\n";
  }
}
`;
}

/**
 * The requests of a server, as `readRequests`, with all that had come to its host (`namespace`) before the call: it has answered
 * one more, that is left out, and takes in turn what comes.
 */
export async function readArrived(server: Nginx, namespace: string, port: number): Promise<LoggedRequest[]> {
  const path = "/visitor/last";
  run(namespace, "curl", "-sf", "-o", "/dev/null", `http://127.0.0.1:${port}${path}`);
  return (await readRequests(server)).filter(({ content }) => !content.includes(` ${path} `));
}

export interface LoggedRequest {
  /** Everything that must be equal at the target: length, status, request line, Host, filler. */
  content: string;
  /** Seconds since 1970. */
  time: number;
  address: string;
  port: number;
  /** Path of the file with the body; "-" without one. */
  body: string;
  /** Names the connection among all of this nginx: address and port may be used again. */
  connection: string;
}

/** The requests of an nginx log; a line that is still being written is left for the next time. */
export async function readRequests(server: Nginx): Promise<LoggedRequest[]> {
  const text = await Bun.file(server.log).text();
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [content, rest] = line.split("\t") as [string, string];
      const [time, address, port, body, connection] = rest.split(" ") as [
        string,
        string,
        string,
        string,
        string,
      ];
      return { content, time: Number(time), address, port: Number(port), body, connection };
    });
}
