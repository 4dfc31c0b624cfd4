/**
 * What an executable is made of, as an SPDX 2.3 document (spdx.github.io/spdx-spec/v2.3): the npm packages that are bundled, the
 * carried libraries, the runtime, and the kernel programs and libraries as files.
 */

export interface Component {
  name: string;
  version: string;
  /** An SPDX licence expression. */
  license: string;
  /** Package URL (github.com/package-url): where it comes from. */
  purl: string;
  /** Of what was downloaded: npm's "sha512-BASE64". */
  integrity?: string;
  comment?: string;
}

export interface FileOf {
  /** Relative: "./usr/bin/xcopy". */
  name: string;
  bytes: Uint8Array;
  /** An SPDX licence expression. */
  license: string;
}

export interface Release {
  version: string;
  architecture: "x64" | "arm64";
  /** Seconds since 1970. */
  time: number;
  components: Component[];
  /** The executable first. */
  files: FileOf[];
}

const hash = (algorithm: "sha1" | "sha256", bytes: Uint8Array) =>
  new Bun.CryptoHasher(algorithm).update(bytes).digest("hex");

/** SPDX allows letters, digits, dots and dashes in identifiers. */
const identifier = (kind: string, name: string) =>
  `SPDXRef-${kind}-${name.replaceAll(/[^0-9A-Za-z.-]+/g, "-")}`;

/** The document as SPDX's JSON has it; the same release gives the same document. */
export function describe({ version, architecture, time, components, files }: Release) {
  const own = identifier("Package", "xcopy");
  const packages = components.map(describeComponent);
  const parts = files.map(describeFile);
  const executable = parts[0]!;
  const digest = executable.checksums.find(({ algorithm }) => algorithm === "SHA256")!.checksumValue;
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `xcopy-${version}-linux-${architecture}`,
    documentNamespace: `https://spdx.org/spdxdocs/xcopy-${version}-linux-${architecture}-${digest}`,
    creationInfo: {
      created: new Date(time * 1000).toISOString().replace(".000", ""),
      creators: [`Tool: xcopy-sbom-${version}`],
    },
    documentDescribes: [own],
    packages: [
      {
        ...describeComponent({
          name: "xcopy",
          version,
          license: "BSD-3-Clause",
          purl: `pkg:generic/xcopy@${version}`,
        }),
        copyrightText: "Copyright (c) 2026, the xcopy authors",
        primaryPackagePurpose: "APPLICATION",
        hasFiles: parts.map(({ SPDXID }) => SPDXID),
      },
      ...packages,
    ],
    files: parts,
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: own },
      ...[...parts, ...packages].map(({ SPDXID }) => ({
        spdxElementId: own,
        relationshipType: "CONTAINS",
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
}

function describeComponent({ name, version, license, purl, integrity, comment }: Component) {
  return {
    SPDXID: identifier("Package", name),
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: license,
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
    ...(integrity && { checksums: [checksumOf(integrity)] }),
    ...(comment && { comment }),
  };
}

function describeFile({ name, bytes, license }: FileOf) {
  return {
    SPDXID: identifier("File", name),
    fileName: name,
    fileTypes: ["BINARY"],
    checksums: [
      { algorithm: "SHA1", checksumValue: hash("sha1", bytes) },
      { algorithm: "SHA256", checksumValue: hash("sha256", bytes) },
    ],
    licenseConcluded: license,
    licenseInfoInFiles: ["NOASSERTION"],
    copyrightText: "NOASSERTION",
  };
}

/** Of npm's "sha512-BASE64". */
function checksumOf(integrity: string) {
  const [algorithm, value] = integrity.split(/-(.*)/s) as [string, string];
  return { algorithm: algorithm.toUpperCase(), checksumValue: Buffer.from(value, "base64").toString("hex") };
}
