/** What `xcopy doctor` found of one thing: the list that it prints is made of these. */

export type FindingStatus = "ok" | "warning" | "failed";

export interface Finding {
  /** Names the check, for programs and for the pages that explain it: "target.neighbour". The same for each thing that it looks at. */
  id: string;
  /** `failed`: the copy that is meant would not start, or would copy nothing. `warning`: it works, but not all of it or not for sure. */
  status: FindingStatus;
  /** What was looked at: "next hop of 10.0.0.2". */
  what: string;
  /** What was found there, one line without a full stop at its end. */
  found: string;
  /** The command, or where there is none the step, that mends it; null: nothing is to be mended. */
  fix: string | null;
  /** The intercept on whose host it was found, as the user wrote it; null: on this host. */
  host: string | null;
}

/** Looks at one thing. Throws nothing that the user could mend: that is a finding. */
export type Check<Subject> = (subject: Subject) => Finding[] | Promise<Finding[]>;

/** Makes findings about one thing of this host. */
export function findingsAbout(id: string, what: string) {
  const finding = (status: FindingStatus, found: string, fix: string | null): Finding[] => [
    { id, status, what, found, fix, host: null },
  ];
  return {
    ok: (found: string) => finding("ok", found, null),
    warning: (found: string, fix: string | null) => finding("warning", found, fix),
    failed: (found: string, fix: string | null) => finding("failed", found, fix),
  };
}
