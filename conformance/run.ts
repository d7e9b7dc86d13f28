/** case × subject → result. A wrong number is a result, never an exception. */
import type { LongformerError } from '../contract/errors.ts';
import { allowedError, float16Distance, hasExactZeros, isChosenFrom, type Precision } from './budget.ts';
import type { Case } from './case.ts';
import { compareDirections, compareTensors, type NamedTensor } from './compare.ts';
import type { CaseResult, Check } from './result.ts';

/** An implementation under test. */
export interface Subject {
  readonly name: string;
  readonly precision: Precision;
  /** Levels it can be asked for; the others are reported as skipped. */
  readonly levels: readonly string[];
  /** A reason not to ask for this case, or null. */
  readonly skips?: (testCase: Case) => string | null;
  /** Outputs by name. May throw: for a case that expects an error it must. */
  run(testCase: Case): Promise<ReadonlyMap<string, NamedTensor>>;
}

export async function runCase(subject: Subject, testCase: Case, precision = subject.precision): Promise<CaseResult> {
  const { level, name } = testCase;
  const base = { level, name, subject: subject.name };
  if (!subject.levels.includes(level)) {
    return { ...base, verdict: 'skipped', reason: `${subject.name} has no level ${level}`, checks: [] };
  }
  const skipped = subject.skips?.(testCase);
  if (skipped) return { ...base, verdict: 'skipped', reason: skipped, checks: [] };
  try {
    const outputs = await subject.run(testCase);
    if (testCase.expectedError) {
      return { ...base, verdict: 'fail', reason: `expected ${testCase.expectedError.code}, got outputs`, checks: [] };
    }
    return judge(base, testCase, outputs, precision);
  } catch (error) {
    if (testCase.expectedError) return judgeError(base, testCase.expectedError, error);
    return { ...base, verdict: 'fail', reason: `threw ${String(error)}`, checks: [] };
  }
}

type Base = Pick<CaseResult, 'level' | 'name' | 'subject'>;

/** Compares outputs with what the case expects; every expected tensor is checked, outputs nobody expects are ignored. */
export function judge(
  base: Base,
  testCase: Pick<Case, 'expected'>,
  outputs: ReadonlyMap<string, NamedTensor>,
  precision: Precision,
): CaseResult {
  const isExcused = isOtherChoice(testCase, outputs, precision);
  const checks = [...testCase.expected].map(([output, expectation]): Check => {
    if (expectation.exact) return checkIds(output, outputs.get(output), expectation.tensor, isExcused);
    if (isExcused && expectation.tied)
      return { ...excused(output), baseline: expectation.spread, max: expectation.max };
    if (precision === 'float16') return checkDirection(output, outputs.get(output), expectation.tensor);
    const allowed = allowedError(output, expectation, precision);
    const comparison = compareTensors(outputs.get(output), expectation.tensor, hasExactZeros(output));
    const { worst, where, nonFinite, brokenZeros } = comparison;
    const ok = worst <= allowed && nonFinite === 0 && brokenZeros === 0;
    const remarks = [where];
    if (nonFinite > 0) remarks.push(`${nonFinite} not finite`);
    if (brokenZeros > 0) remarks.push(`${brokenZeros} should be exactly 0`);
    return {
      output,
      ok,
      error: worst,
      allowed,
      baseline: expectation.spread,
      max: expectation.max,
      where: remarks.join(', '),
    };
  });
  return { ...base, verdict: checks.length > 0 && checks.every(check => check.ok) ? 'pass' : 'fail', checks };
}

/** Whether a subject that rounds chose the other one of two things which only float64 can tell apart. */
function isOtherChoice(
  { expected }: Pick<Case, 'expected'>,
  outputs: ReadonlyMap<string, NamedTensor>,
  precision: Precision,
): boolean {
  if (precision === 'float64') return false;
  return [...expected].some(([output, { exact, tied, tensor }]) => {
    return exact && tied && outputs.has(output) && !(compareTensors(outputs.get(output), tensor, false).worst === 0);
  });
}

const excused = (output: string): Check => ({
  output,
  ok: true,
  error: 0,
  allowed: 0,
  baseline: null,
  where: 'tied: the other choice',
});

/** Every id the same; `error` counts those that are not. A tensor of another shape is one mismatch. */
function checkIds(output: string, actual: NamedTensor | undefined, expected: NamedTensor, isExcused: boolean): Check {
  if (isExcused) return excused(output);
  const { worst, where } = compareTensors(actual, expected, false);
  if (!actual || !Number.isFinite(worst)) return { output, ok: false, error: 1, allowed: 0, baseline: null, where };
  const error = Array.from(expected.data).reduce(
    (mismatches, id, at) => mismatches + Number(id !== actual.data[at]),
    0,
  );
  return { output, ok: error === 0, error, allowed: 0, baseline: null, where };
}

/** The same direction and, where somebody takes the largest, the same largest. `error` is 1 - cosine. */
function checkDirection(output: string, actual: NamedTensor | undefined, expected: NamedTensor): Check {
  const { distance, otherLargest } = compareDirections(actual, expected);
  const { nonFinite, brokenZeros } = compareTensors(actual, expected, hasExactZeros(output));
  const chosen = isChosenFrom(output) ? otherLargest : 0;
  const remarks = ['1 - cosine'];
  if (chosen > 0) remarks.push(`${chosen} other largest elements`);
  if (nonFinite > 0) remarks.push(`${nonFinite} not finite`);
  if (brokenZeros > 0) remarks.push(`${brokenZeros} should be exactly 0`);
  const ok = distance <= float16Distance && chosen + nonFinite + brokenZeros === 0;
  return { output, ok, error: distance, allowed: float16Distance, baseline: 0, where: remarks.join(', ') };
}

/** The right refusal: a typed error with the expected code, about the expected input. */
function judgeError(base: Base, expected: NonNullable<Case['expectedError']>, error: unknown): CaseResult {
  const isTyped = error instanceof Error && 'code' in error && 'subject' in error;
  const { code, subject } = (isTyped ? error : {}) as Partial<LongformerError>;
  const plain = (name: string | undefined): string =>
    (name ?? '')
      .replace(/[[(].*$/, '')
      .replaceAll('_', '')
      .toLowerCase();
  const ok = code === expected.code && plain(subject) === plain(expected.about);
  if (ok) return { ...base, verdict: 'pass', checks: [] };
  const reason = `expected ${expected.code} about ${expected.about}, got ${String(error)}`;
  return { ...base, verdict: 'fail', reason, checks: [] };
}
