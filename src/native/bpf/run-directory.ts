/** The directory of what lives as long as the host runs: records of what processes attached, and logs of the verifier. */

export const DIRECTORY = "/run/xcopy";
