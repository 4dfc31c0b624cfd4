/** The kernels that bin/test-kernels boots: those of Debian's releases. */

export interface Kernel {
  /** "5.10", "newest", "6.1-arm64": the name of its image in dist/kernels. */
  name: string;
  /** Debian's release. */
  release: string;
  architecture: "amd64" | "arm64";
}

const RELEASES = { "5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", newest: "sid" };

export const KERNELS: Kernel[] = (["amd64", "arm64"] as const).flatMap((architecture) =>
  Object.entries(RELEASES).map(([kernel, release]) => ({
    name: architecture === "amd64" ? kernel : `${kernel}-${architecture}`,
    release,
    architecture,
  })),
);
