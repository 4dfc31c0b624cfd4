/**
 * An image of one layer for each architecture, as an OCI image layout (github.com/opencontainers/image-spec, version 1.1): a
 * directory that any tool of containers reads, made without one.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

export interface Platform {
  /** As OCI (and Go) names it. */
  architecture: "amd64" | "arm64";
  /** The root file system, a tar. */
  layer: Uint8Array<ArrayBuffer>;
}

export interface Image {
  version: string;
  /** Seconds since 1970. */
  time: number;
  platforms: Platform[];
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

const digestOf = (bytes: Uint8Array) =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

/** Writes the layout into an empty directory; the same image gives the same bytes. The image is tagged with its version. */
export function writeLayout(directory: string, { version, time, platforms }: Image): void {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const created = new Date(time * 1000).toISOString().replace(".000", "");
  const annotations = {
    "org.opencontainers.image.title": "xcopy",
    "org.opencontainers.image.description": "Copy the live traffic of a production service to a test service",
    "org.opencontainers.image.version": version,
    "org.opencontainers.image.created": created,
    "org.opencontainers.image.licenses": "BSD-3-Clause",
  };

  function add(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = digestOf(bytes);
    writeFileSync(join(blobs, digest.slice("sha256:".length)), bytes);
    return { mediaType, digest, size: bytes.length };
  }
  const addJson = (mediaType: string, value: unknown) => add(mediaType, Buffer.from(JSON.stringify(value)));

  const manifests = platforms.map(({ architecture, layer }) => {
    const packed = add(LAYER, Bun.gzipSync(layer));
    const config = addJson(CONFIG, {
      created,
      architecture,
      os: "linux",
      config: {
        Entrypoint: ["/usr/bin/xcopy"],
        Cmd: ["--help"],
        Env: ["PATH=/usr/bin"],
        Labels: annotations,
      },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
      history: [{ created, created_by: "packaging/oci" }],
    });
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [packed], annotations };
    return { ...addJson(MANIFEST, manifest), platform: { architecture, os: "linux" } };
  });
  const all = addJson(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests, annotations });
  const tagged = { ...all, annotations: { "org.opencontainers.image.ref.name": version } };
  const write = (name: string, value: unknown) => writeFileSync(join(directory, name), JSON.stringify(value));
  write("oci-layout", { imageLayoutVersion: "1.0.0" });
  write("index.json", { schemaVersion: 2, mediaType: INDEX, manifests: [tagged] });
}
