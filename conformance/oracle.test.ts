import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../runtime/checkpoint/safetensors-writer.ts';
import { allowedError } from './budget.ts';
import { compareTensors } from './compare.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { buildReport, formatReport } from './report.ts';
import { judge, runCase } from './run.ts';
import { recordedSubject } from './subjects/recorded.ts';
import { referenceSubject } from './subjects/reference.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const temporary = mkdtempSync(join(tmpdir(), 'longformer-test-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const vector = (...values: number[]): { shape: number[]; data: Float64Array } => ({
  shape: [values.length],
  data: Float64Array.from(values),
});

describe('compareTensors', () => {
  it('finds the worst element and where it is', () => {
    const actual = { shape: [2, 2], data: Float64Array.of(1, 2, 3, 4.5) };
    const expected = { shape: [2, 2], data: Float64Array.of(1, 2.25, 3, 4) };
    expect(compareTensors(actual, expected, false)).toMatchObject({ worst: 0.5, where: '[1, 1]' });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('%d is the worst there is', value => {
    const comparison = compareTensors(vector(0, value), vector(0, 1), false);
    expect(comparison).toMatchObject({ worst: Number.POSITIVE_INFINITY, nonFinite: 1, where: '[1]' });
  });

  it('counts zeros that are not exact', () => {
    expect(compareTensors(vector(1e-300, 1), vector(0, 1), true).brokenZeros).toBe(1);
  });

  it('says what is wrong with a shape, and when a tensor is missing', () => {
    expect(compareTensors(vector(1), vector(1, 2), false).where).toBe('shape (1) instead of (2)');
    expect(compareTensors(undefined, vector(1), false)).toMatchObject({
      worst: Number.POSITIVE_INFINITY,
      where: 'missing',
    });
  });
});

describe('allowedError', () => {
  const expectation = { spread: 1e-6, max: 10 };
  it('float64: 1e-10 of the largest value; probabilities absolute', () => {
    expect(allowedError('last_hidden_state', expectation, 'float64')).toBeCloseTo(1e-9, 20);
    expect(allowedError('attentions.0', expectation, 'float64')).toBe(1e-10);
  });
  it('float32: four times what Hugging Face’s float32 errs', () => {
    expect(allowedError('logits', expectation, 'float32')).toBeCloseTo(4 * (1e-6 + 10 * 2 ** -23), 12);
  });
});

describe('a damaged suite is never a result', () => {
  /** A copy of one case in a folder of its own, with one change. */
  function damaged(change: (folder: string) => void): string {
    const folder = mkdtempSync(join(temporary, 'suite-'));
    for (const part of ['schema', 'manifest.json', 'cases/layer/plain', 'models/encoder-2-layers']) {
      cpSync(join(directory, part), join(folder, part), { recursive: true });
    }
    change(folder);
    return folder;
  }
  const flipLastByte = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
  };

  it('one flipped bit in the expected values', async () => {
    const folder = damaged(copy => flipLastByte(join(copy, 'cases/layer/plain/tensors.safetensors')));
    await expect(readCase(folder, 'layer/plain', manifest)).rejects.toThrow(
      /^readCase: "cases\/layer\/plain\/tensors.safetensors" expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}\.\n {2}Hint: /,
    );
  });

  it('a flipped bit in the weights', async () => {
    const folder = damaged(copy => flipLastByte(join(copy, 'models/encoder-2-layers/model.safetensors')));
    const testCase = await readCase(folder, 'layer/plain', manifest);
    await expect(testCase.openCheckpoint()).rejects.toMatchObject({ code: 'E_CASE' });
  });

  it('a case.json against the schema', async () => {
    const folder = damaged(copy => {
      const path = join(copy, 'cases/layer/plain/case.json');
      const json = JSON.parse(readFileSync(path, 'utf8'));
      writeFileSync(path, JSON.stringify({ ...json, layer: -1 }));
    });
    const path = 'cases/layer/plain/case.json';
    const bytes = readFileSync(join(folder, path));
    const sha256 = (await import('node:crypto')).createHash('sha256').update(bytes).digest('hex');
    const relisted = { ...manifest, files: { ...manifest.files, [path]: sha256 } };
    await expect(readCase(folder, 'layer/plain', relisted)).rejects.toThrow(
      'case.json by the schema, got data/layer must be >= 0',
    );
  });

  it('a missing file', async () => {
    const folder = damaged(copy => rmSync(join(copy, 'cases/layer/plain/tensors.safetensors')));
    await expect(readCase(folder, 'layer/plain', manifest)).rejects.toMatchObject({ code: 'E_CASE' });
  });

  it('fewer cases than promised', async () => {
    const folder = damaged(copy => {
      writeFileSync(join(copy, 'manifest.json'), JSON.stringify({ ...manifest, cases: manifest.cases.slice(1) }));
    });
    await expect(readManifest(folder)).rejects.toThrow(`expected ${manifest.numberOfCases} cases`);
  });
});

describe('a port’s files', () => {
  it('pass when right, fail when one number is off, are skipped when absent', async () => {
    const [right, off, absent] = ['layer/plain', 'layer/global', 'layer/padding'];
    for (const id of [right, off]) {
      const testCase = await readCase(directory, id!, manifest);
      const tensors = [...testCase.expected].map(([name, { tensor }]) => ({ name, dtype: 'F32', ...tensor }));
      if (id === off) tensors[0]!.data[3]! += 1e-4;
      const path = join(temporary, `${id}.safetensors`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, writeSafetensors(tensors));
    }
    const subject = recordedSubject(temporary, 'float32');
    const verdicts = [right, off, absent].map(
      async id => (await runCase(subject, await readCase(directory, id!, manifest))).verdict,
    );
    expect(await Promise.all(verdicts)).toEqual(['pass', 'fail', 'skipped']);
  });

  it('may hold ids', async () => {
    const testCase = await readCase(directory, 'generation/beams', manifest);
    const tensors = [...testCase.expected].map(([name, { tensor, exact }]) => ({
      name,
      dtype: exact ? 'I64' : 'F64',
      shape: tensor.shape,
      data: exact ? Int32Array.from(tensor.data) : tensor.data,
    }));
    mkdirSync(join(temporary, 'generation'), { recursive: true });
    writeFileSync(join(temporary, 'generation/beams.safetensors'), writeSafetensors(tensors));
    expect(await runCase(recordedSubject(temporary, 'float32'), testCase)).toMatchObject({ verdict: 'pass' });
  });
});

describe('ids', () => {
  const verdictOf = async (id: string, precision: 'float64' | 'float32', change: (data: Float64Array) => void) => {
    const testCase = await readCase(directory, id, manifest);
    const outputs = new Map([...testCase.expected].map(([name, { tensor }]) => [name, structuredClone(tensor)]));
    change(outputs.get('sequences')!.data);
    return judge({ level: 'generation', name: id, subject: 'one' }, testCase, outputs, precision);
  };
  const otherToken = (data: Float64Array): void => {
    data[2]!++;
  };

  it('one wrong id fails, however close the others are', async () => {
    expect(await verdictOf('generation/beams', 'float32', () => {})).toMatchObject({ verdict: 'pass' });
    const result = await verdictOf('generation/beams', 'float32', otherToken);
    expect(result).toMatchObject({ verdict: 'fail', checks: [{ output: 'sequences', error: 1, allowed: 0 }, {}] });
  });

  it('of two tokens that only float64 can tell apart a float32 subject may write the other one', async () => {
    const excused = await verdictOf('generation/twins', 'float32', otherToken);
    expect(excused.verdict).toBe('pass');
    expect(excused.checks.map(({ where }) => where)).toEqual(['tied: the other choice', 'tied: the other choice']);
    expect(await verdictOf('generation/twins', 'float64', otherToken)).toMatchObject({ verdict: 'fail' });
  });
});

describe('the report', () => {
  it('has a line for each level and backend, and names what failed', async () => {
    const testCase = await readCase(directory, 'layer/plain', manifest);
    const { expected } = testCase;
    const wrong = {
      ...referenceSubject(),
      name: 'wrong',
      run: async () =>
        new Map([...expected].map(([name, { tensor }]) => [name, { ...tensor, data: tensor.data.map(v => v + 1) }])),
    };
    const results = [await runCase(referenceSubject(), testCase), await runCase(wrong, testCase)];
    const report = buildReport(results, 1);
    expect(report).toMatchObject({ run: 2, failed: 1, skipped: 0 });
    expect(formatReport(report)).toContain('FAILED layer/plain on wrong');
    expect(report.summaries.map(({ subject, passed, failed }) => [subject, passed, failed])).toEqual([
      ['reference', 1, 0],
      ['wrong', 0, 1],
    ]);
  });

  it('an implementation that throws has failed', async () => {
    const throwing = { ...referenceSubject(), run: () => Promise.reject(new Error('no')) };
    const result = await runCase(throwing, await readCase(directory, 'layer/plain', manifest));
    expect(result).toMatchObject({ verdict: 'fail', reason: 'threw Error: no' });
  });

  it('an implementation that accepts what must be refused has failed', async () => {
    const accepting = { ...referenceSubject(), run: async () => new Map() };
    const result = await runCase(accepting, await readCase(directory, 'encoder/refuse-mask-of-2', manifest));
    expect(result).toMatchObject({ verdict: 'fail', reason: 'expected E_RANGE, got outputs' });
  });
});
