/** `device: 'webgpu'` at the front door: trained checkpoints answer, fill in and write as on the processor. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { pipeline } from '../api/index.ts';
import { UnsupportedError } from '../contract/errors.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';

const missing = (await deviceOrReason()) instanceof UnsupportedError;
const path = (file: string): string => fileURLToPath(new URL(`../models/${file}`, import.meta.url));
const text = (file: string): string => readFileSync(path(file), 'utf8');

describe.skipIf(missing)("device: 'webgpu'", () => {
  it('answers a question on a document of 4,000 tokens', async () => {
    const context = text('needle-qa/sample-document.txt');
    const question = 'What is the access code of Delia?';
    const [ours, wasm] = await Promise.all(
      ['webgpu', 'wasm'].map(async device => {
        const answer = await pipeline('question-answering', path('needle-qa'), { device });
        const best = await answer(question, context);
        await answer.dispose();
        return best;
      }),
    );
    expect(ours).toMatchObject({ answer: '31C', start: wasm!.start, end: wasm!.end });
    expect(ours!.score).toBeCloseTo(wasm!.score, 5);
  });

  it.each([1, 4])('writes the headline of a report with %i beams', async numBeams => {
    const report = text('headline-led/sample-report.txt');
    const summarize = await pipeline('summarization', path('headline-led'), { device: 'webgpu' });
    const [written] = await summarize(report, { numBeams });
    await summarize.dispose();
    expect(written).toEqual({ summary_text: text('headline-led/sample-headline.txt').trim() });
  });
});
