/** What stands behind the mask. Source: HF FillMaskPipeline. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import {
  encodeDocument,
  expectCount,
  forEachDocument,
  largest,
  nameOf,
  type Sequence,
  softmax,
  type TaskModel,
  type TaskOptions,
} from './documents.ts';
import { expectHead } from './heads.ts';

export interface FillMaskOptions extends TaskOptions {
  /** Fillings for each mask, best first. HF `top_k`, default 5. */
  readonly topK?: number;
  /** Only these tokens, by name (`Ġhouse`) or, failing that, the first token of the text. HF `targets`. */
  readonly targets?: readonly string[];
}

export interface Filling {
  readonly score: number;
  /** Id of the token. */
  readonly token: number;
  readonly token_str: string;
  /** The whole text with the mask filled; other masks stay. */
  readonly sequence: string;
  /** Characters of the mask in the text that was given. */
  readonly start: number;
  readonly end: number;
}

/** Fillings of each mask of each text: [text][mask][rank]. @throws ValueRangeError for a text without a mask; UnsupportedError, AbortedError */
export async function fillMasks(
  task: TaskModel,
  texts: readonly string[],
  options: FillMaskOptions = {},
): Promise<Filling[][][]> {
  const { model, tokenizer } = task;
  expectHead('fill-mask', model.config.head, 'maskedLm');
  const topK = expectCount('topK', options.topK ?? 5);
  const targets = options.targets && targetIds(task, options.targets);
  const maskId = tokenizer.specialTokens.mask;
  const windowOf = (index: number): Sequence => {
    const name = nameOf('text', index, texts.length);
    const sequence = encodeDocument(task, name, [texts[index]!], options);
    const { inputIds } = sequence.encoding;
    const logitRows = Int32Array.from([...inputIds.keys()].filter(t => inputIds[t] === maskId));
    if (logitRows.length > 0) return { ...sequence, logitRows };
    const mask = maskId === null ? 'mask token' : tokenizer.idToToken(maskId);
    throw new ValueRangeError({ where: 'fill-mask', name, expected: `at least one ${mask}`, got: 'none' });
  };
  return forEachDocument(
    task,
    texts.length,
    index => [windowOf(index)],
    (_index, [window], [outputs]) => {
      const { encoding, logitRows } = window!;
      const { shape, data } = outputs!.logits!;
      const [rows, vocabSize] = shape as [number, number];
      return Array.from({ length: rows }, (_, row) => {
        const probs = softmax(data.subarray(row * vocabSize, (row + 1) * vocabSize)); // (V)
        return bestOf(probs, topK, targets).map(([token, score]) =>
          fillingOf(task, encoding, logitRows![row]!, token, score, rows === 1),
        );
      });
    },
    options,
  );
}

/** The likeliest tokens, among the targets when there are some. */
function bestOf(probs: Float64Array, topK: number, targets: readonly number[] | undefined): [number, number][] {
  if (!targets) return largest(probs, topK);
  const ofTargets = targets.map(id => probs[id]!);
  return largest(ofTargets, topK).map(([at, score]) => [targets[at]!, score]);
}

function fillingOf(
  { model, tokenizer }: TaskModel,
  { inputIds, offsets }: Encoding,
  row: number,
  token: number,
  score: number,
  onlyMask: boolean,
): Filling {
  const filled = inputIds.slice();
  filled[row] = token;
  const shown = filled.filter(id => id !== model.config.padTokenId);
  return {
    score,
    token,
    token_str: tokenizer.decode([token]),
    // With several masks the others would vanish with the special tokens, so all of these stay, as in HF.
    sequence: tokenizer.decode(shown, { skipSpecialTokens: onlyMask }),
    start: offsets[2 * row]!,
    end: offsets[2 * row + 1]!,
  };
}

/** @throws ValueRangeError when nothing is left. */
function targetIds({ tokenizer }: TaskModel, targets: readonly string[]): number[] {
  const ids = new Set<number>();
  for (const target of targets) {
    const id = tokenizer.tokenToId(target) ?? tokenizer.encode(target, { addSpecialTokens: false }).inputIds[0];
    if (id !== undefined) ids.add(id);
  }
  if (ids.size > 0) return [...ids].sort((a, b) => a - b);
  throw new ValueRangeError({ where: 'fill-mask', name: 'targets', expected: 'at least one token', got: 'none' });
}
