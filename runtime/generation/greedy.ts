/**
 * One token after the other, the best or a drawn one: a hypothesis never changes its mind, so every token is told at once.
 *
 * Read before: scores.ts, sampling.ts. Read next: beam-search.ts. Source: HF GenerationMixin._sample.
 */
import type { GeneratedSequence } from '../../contract/generation.ts';
import type { Decoding } from '../../contract/model.ts';
import type { LogitsProcessor } from './logits-processors.ts';
import type { Settings } from './options.ts';
import { createRandom } from './random.ts';
import { createLots, drawLot } from './sampling.ts';
import { copyLogits, indexOfLargest } from './scores.ts';
import type { StepHooks } from './step-hooks.ts';

/**
 * decoding: document by document, numReturnSequences groups each. Returns the groups' sequences in that order.
 */
export async function writeOneByOne(
  decoding: Decoding,
  settings: Settings,
  process: LogitsProcessor,
  { turn, onToken }: StepHooks,
  vocabSize: number,
): Promise<GeneratedSequence[]> {
  const { prompts, promptLength, maxLength, numReturnSequences, doSample, eosTokenIds, padTokenId } = settings;
  const documentOf = (group: number): number => Math.floor(group / numReturnSequences);
  const groups = decoding.groups;
  const ids = Array.from({ length: groups }, (_, group) => {
    const row = new Int32Array(maxLength);
    row.set(prompts[documentOf(group)]!);
    return row;
  });
  const lengths = new Int32Array(groups).fill(promptLength);
  const ended = new Uint8Array(groups);
  const scores = new Float64Array(vocabSize);
  const lotsOf = createLots(settings, vocabSize);
  // A text depends on the seed and on which of its document's texts it is, not on the documents beside it.
  const random = ids.map((_, group) => createRandom(settings.seed, group % numReturnSequences));
  const tokens = new Int32Array(groups);

  const prompt = new Int32Array(groups * promptLength);
  for (const [group, row] of ids.entries()) prompt.set(row.subarray(0, promptLength), group * promptLength);
  let logits = await decoding.prefill(prompt);
  for (let t = promptLength; ; t++) {
    for (let group = 0; group < groups; group++) {
      tokens[group] = padTokenId;
      if (ended[group]) continue;
      copyLogits(scores, logits, group * vocabSize);
      process(scores, ids[group]!.subarray(0, t), documentOf(group));
      const token = doSample ? drawLot(lotsOf(scores), random[group]!()) : indexOfLargest(scores);
      tokens[group] = token;
      ids[group]![t] = token;
      lengths[group] = t + 1;
      if (eosTokenIds.includes(token)) ended[group] = 1;
      await onToken?.({ document: documentOf(group), sequence: group % numReturnSequences, tokenId: token });
    }
    const finished = ended.reduce((sum, one) => sum + one, 0);
    const done = finished === groups || t + 1 === maxLength;
    await turn(t + 1, finished, done);
    if (done) break;
    logits = await decoding.step(tokens, null);
  }
  return ids.map((row, group) => ({ ids: row.slice(0, lengths[group]), score: null }));
}
