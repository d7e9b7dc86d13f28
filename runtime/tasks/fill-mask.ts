/** What stands behind the mask. Source: HF FillMaskPipeline. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import {
  encodeDocument,
  expectCount,
  forwardAll,
  largest,
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
  const sequences = texts.map((text, index) => {
    const encoding = encodeDocument(task, text, options);
    const logitRows = Int32Array.from([...encoding.inputIds.keys()].filter(t => encoding.inputIds[t] === maskId));
    if (logitRows.length === 0) {
      throw new ValueRangeError({
        where: 'fill-mask',
        name: texts.length === 1 ? 'text' : `texts[${index}]`,
        expected: `at least one ${maskId === null ? 'mask token' : tokenizer.idToToken(maskId!)}`,
        got: 'none',
      });
    }
    return { encoding, texts: [text], logitRows };
  });
  const outputs = await forwardAll(task, sequences, options);
  return outputs.map(({ logits }, index) => {
    const { encoding, logitRows } = sequences[index]!;
    const [rows, vocabSize] = logits!.shape as [number, number];
    return Array.from({ length: rows }, (_, row) => {
      const probs = softmax(logits!.data.subarray(row * vocabSize, (row + 1) * vocabSize)); // (V)
      const best = targets
        ? largest(
            targets.map(id => probs[id]!),
            topK,
          ).map(([at, score]) => [targets[at]!, score] as const)
        : largest(probs, topK);
      return best.map(([token, score]) => fillingOf(task, encoding, logitRows[row]!, token, score, rows === 1));
    });
  });
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
