/** The whole oracle: every case of the manifest × every subject. */
import type { Precision } from './budget.ts';
import { readCase, readManifest } from './read-case.ts';
import type { CaseResult } from './result.ts';
import { runCase, type Subject } from './run.ts';
import { runTokenizerCase } from './tokenizer-cases.ts';

export interface OracleOptions {
  /** Tokenizer cases too: default true. */
  readonly tokenizer?: boolean;
  /** Only cases whose `level/name` begins with one of these. */
  readonly only?: readonly string[];
  /** Judge by this gate instead of the subject's own. */
  readonly precision?: Precision;
  readonly onResult?: (result: CaseResult, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs cases one by one. A wrong number is a result; a damaged case is a CaseError and ends the run.
 *
 * @throws CaseError
 */
export async function runOracle(
  directory: string,
  subjects: readonly Subject[],
  options: OracleOptions = {},
): Promise<CaseResult[]> {
  const manifest = await readManifest(directory);
  const { only, precision, onResult, signal } = options;
  const isTokenizer = (id: string): boolean => id.startsWith('tokenizer/');
  const ids = manifest.cases
    .filter(id => !only || only.some(prefix => id.startsWith(prefix)))
    .filter(id => options.tokenizer !== false || !isTokenizer(id));
  const results: CaseResult[] = [];
  const report = (result: CaseResult): void => {
    results.push(result);
    onResult?.(result, results.length, total);
  };
  const models = ids.filter(id => !isTokenizer(id));
  const total = models.length * subjects.length + ids.length - models.length;
  for (const subject of subjects) {
    for (const id of models) {
      if (signal?.aborted) return results;
      report(await runCase(subject, await readCase(directory, id, manifest), precision));
    }
  }
  // The tokenizer is not part of a backend; it runs once.
  for (const id of ids.filter(isTokenizer)) {
    if (signal?.aborted) return results;
    report(await runTokenizerCase(`${directory}/cases/${id}`));
  }
  return results;
}
