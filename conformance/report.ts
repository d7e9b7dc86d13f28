/** Results → a table for people and a report for machines. */
import type { CaseResult, Check } from './result.ts';

/** One line of the table: a level on a backend. */
export interface Summary {
  readonly level: string;
  readonly subject: string;
  readonly cases: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Tensors (or exact outputs) compared. */
  readonly checks: number;
  /** Worst error against Hugging Face float64, relative to the tensor's largest value; mismatches for exact levels. */
  readonly worst: number;
  /** Which case, output and element that was. */
  readonly worstAt: string;
  /** Worst error of Hugging Face's own float32 on the same tensors, relative; null for exact levels. */
  readonly baseline: number | null;
  /** Geometric mean of (error / Hugging Face's float32 error) over the tensors; null for exact levels. About 1 is as good as PyTorch. */
  readonly growth: number | null;
}

export interface Report {
  readonly format: 1;
  readonly summaries: readonly Summary[];
  readonly results: readonly CaseResult[];
  readonly run: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

const relative = (check: Check, error: number): number => (check.max ? error / check.max : error);

export function buildReport(results: readonly CaseResult[], seconds: number): Report {
  const groups = new Map<string, CaseResult[]>();
  for (const result of results) {
    const key = `${result.level}\n${result.subject}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return {
    format: 1,
    summaries: [...groups.values()].map(summarize),
    results,
    run: results.filter(result => result.verdict !== 'skipped').length,
    failed: results.filter(result => result.verdict === 'fail').length,
    skipped: results.filter(result => result.verdict === 'skipped').length,
    seconds,
  };
}

function summarize(results: readonly CaseResult[]): Summary {
  let worst = 0;
  let worstAt = '';
  let baseline: number | null = null;
  let checks = 0;
  const logs: number[] = [];
  for (const result of results) {
    for (const check of result.checks) {
      checks++;
      const error = relative(check, check.error);
      // Written so that NaN counts as the worst there is.
      if (!(error <= worst)) {
        worst = error;
        worstAt = `${result.name} ${check.output}${check.where ? ` ${check.where}` : ''}`;
      }
      if (check.baseline === null) continue;
      baseline = Math.max(baseline ?? 0, relative(check, check.baseline));
      if (check.baseline > 0 && check.error > 0) logs.push(Math.log(check.error / check.baseline));
    }
  }
  const count = (verdict: CaseResult['verdict']): number => results.filter(result => result.verdict === verdict).length;
  const { level, subject } = results[0]!;
  const growth = logs.length > 0 ? Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length) : null;
  const passed = count('pass');
  const failed = count('fail');
  return {
    level,
    subject,
    cases: results.length,
    passed,
    failed,
    skipped: count('skipped'),
    checks,
    worst,
    worstAt,
    baseline,
    growth,
  };
}

/** The table: level × backend, the worst error, Hugging Face's float32 beside it, the verdict. */
export function formatReport(report: Report): string {
  const header = [
    'level',
    'backend',
    'cases',
    'tensors',
    'worst error',
    "HF's float32",
    'growth',
    'verdict',
    'worst case',
  ];
  const rows = report.summaries.map(summary => [
    summary.level,
    summary.subject,
    summary.skipped === summary.cases ? '-' : `${summary.passed}/${summary.cases - summary.skipped}`,
    String(summary.checks),
    summary.baseline === null ? `${summary.worst} wrong` : summary.worst.toExponential(1),
    summary.baseline === null ? 'exact' : summary.baseline.toExponential(1),
    summary.growth === null ? '' : summary.growth.toPrecision(2),
    verdictOf(summary),
    summary.baseline === null && summary.worst === 0 ? '' : summary.worstAt,
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  const lines = [line(header), widths.map(width => '-'.repeat(width)).join('  '), ...rows.map(line)];
  for (const result of report.results.filter(each => each.verdict === 'fail')) lines.push('', describeFailure(result));
  const skips = new Set(report.results.filter(each => each.verdict === 'skipped').map(each => each.reason));
  for (const reason of skips) lines.push('', `skipped: ${reason}`);
  lines.push(
    '',
    `${report.run} cases run, ${report.failed} failed, ${report.skipped} skipped, in ${report.seconds.toFixed(1)} s.`,
  );
  lines.push("Errors are against Hugging Face in float64, relative to the tensor's largest value.");
  lines.push("Growth: geometric mean of error / error of Hugging Face's own float32.");
  return lines.join('\n');
}

function verdictOf(summary: Summary): string {
  if (summary.failed > 0) return `FAIL (${summary.failed})`;
  return summary.passed > 0 ? 'pass' : 'skipped';
}

function describeFailure(result: CaseResult): string {
  const lines = [
    `FAILED ${result.level}/${result.name} on ${result.subject}${result.reason ? `: ${result.reason}` : ''}`,
  ];
  for (const check of result.checks.filter(each => !each.ok)) {
    lines.push(
      `  ${check.output}: error ${check.error.toExponential(2)}, allowed ${check.allowed.toExponential(2)}, at ${check.where}`,
    );
  }
  return lines.join('\n');
}
