/** The page's start: reads what is in it, a report or two runs compared, and draws it. */
import { html } from "htm/preact";
import { render } from "preact";
import type { Report } from "../../compare/report.ts";
import type { RunComparison } from "../../compare/runs.ts";
import { App } from "./app.ts";
import { Runs } from "./runs.ts";

/** What the page carries: JSON, compressed by gzip, in base64. */
async function carried(): Promise<unknown> {
  const text = document.getElementById("data")!.textContent.trim();
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).json();
}

const { kind } = document.documentElement.dataset;
// A token was for the first request only: what follows has the cookie.
if (kind === "live" && location.search !== "") history.replaceState(null, "", location.pathname);
const data = await carried();
const root = document.getElementById("page")!;
root.replaceChildren();
const page =
  kind === "runs"
    ? html`<${Runs} runs=${data as RunComparison} />`
    : html`<${App} first=${data as Report} isLive=${kind === "live"} />`;
render(page, root);
