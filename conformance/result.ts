/** What a run says about one case. */
export interface Check {
  readonly output: string;
  readonly ok: boolean;
  /** Worst absolute error, or the number of mismatches for exact outputs. */
  readonly error: number;
  readonly allowed: number;
  /** What Hugging Face's own float32 errs on the same tensor; null where that has no meaning. */
  readonly baseline: number | null;
  /** max |expected|: what `error` is relative to. Absent for exact outputs. */
  readonly max?: number;
  readonly where?: string;
}

export interface CaseResult {
  readonly level: string;
  readonly name: string;
  readonly subject: string;
  readonly verdict: 'pass' | 'fail' | 'skipped';
  /** Why it was skipped, or what was thrown. */
  readonly reason?: string;
  readonly checks: readonly Check[];
}
