/**
 * 8. The heads: what is put on top of the encoder for a task, and which tokens it makes global by itself.
 *
 * Global attention is how a task speaks to the model (paper §3.1, "Global Attention"): the classification token looks at the
 * whole document, and so does every token of a question. When the caller gives no globalAttentionMask, each head chooses
 * as Hugging Face does:
 *
 *     sequence classification   <s>                                    position 0
 *     question answering        <s> question                           everything before the first separator
 *     multiple choice           <s> context </s></s> choice </s>       everything after the second separator
 *     masked LM, token classification                                  nothing
 *
 * Read before: 7-longformer.ts. Read next: backend.ts, which only puts these together.
 */
import type { LongformerConfig, LongformerHead } from '../contract/config.ts';
import { sequenceLengthOf } from '../contract/encoder-inputs.ts';
import { ValueRangeError } from '../contract/errors.ts';
import type { EncoderInputs } from '../contract/model.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { activate, linear, sliceRows } from './1-operations.ts';
import { dense, norm, poolerWeightNames, type Weights } from './7-longformer.ts';

/**
 * The global attention mask a head uses when the caller gives none: (T) of 0 and 1, or undefined for no global attention.
 *
 * Source: HF LongformerForSequenceClassification.forward, _compute_global_attention_mask.
 * Differs: HF counts separators over the whole batch; we demand exactly three in each row (case heads, separators per row).
 * With inputsEmbeds HF crashes for sequence classification; position 0 is global here.
 * @throws ValueRangeError when question answering or multiple choice does not find exactly three separators.
 */
export function automaticGlobalAttentionMask(inputs: EncoderInputs, config: LongformerConfig): Int32Array | undefined {
  const sequenceLength = sequenceLengthOf(inputs);
  switch (config.head) {
    case 'sequenceClassification':
      return Int32Array.from({ length: sequenceLength }, (_, t) => (t === 0 ? 1 : 0));
    case 'questionAnswering': {
      if (!inputs.inputIds) return undefined; // without ids there are no separators to find
      const questionEnd = firstOfThreeSeparators(inputs.inputIds, config.sepTokenId);
      return inputs.inputIds.map((_, t) => (t < questionEnd ? 1 : 0));
    }
    case 'multipleChoice': {
      if (!inputs.inputIds) return undefined;
      const contextEnd = firstOfThreeSeparators(inputs.inputIds, config.sepTokenId);
      // Subtle: everything after the double separator, the last separator and padding included; padding is masked elsewhere.
      return inputs.inputIds.map((_, t) => (t > contextEnd + 1 ? 1 : 0));
    }
    default:
      return undefined;
  }
}

/** Row of the first separator. @throws ValueRangeError unless there are exactly three. */
function firstOfThreeSeparators(inputIds: Int32Array, sepTokenId: number): number {
  const separators = [...inputIds.keys()].filter(t => inputIds[t] === sepTokenId);
  if (separators.length !== 3) {
    throw new ValueRangeError({
      where: 'longformer.forward',
      name: 'inputIds',
      expected: `exactly 3 separators (id ${sepTokenId}) in each row: <s> question </s></s> context </s>`,
      got: String(separators.length),
      hint: 'lay the pair out that way, or say which tokens are global with globalAttentionMask.',
    });
  }
  return separators[0]!;
}

/**
 * Scores of every vocabulary entry for every token. hiddenStates: (T, C). Returns (T, V).
 *
 * Subtle: the activation is exact GELU whatever hidden_act says, and the decoder is the word embedding table itself
 * unless the checkpoint unties them. Source: HF LongformerLMHead.
 */
export function maskedLmLogits(hiddenStates: Tensor64, weights: Weights, config: LongformerConfig): Tensor64 {
  const transformed = activate(dense(hiddenStates, weights, 'lm_head.dense'), 'gelu'); // (T, C)
  const normed = norm(transformed, weights, 'lm_head.layer_norm', config.layerNormEps); // (T, C)
  const decoder = weights(config.tieWordEmbeddings ? 'embeddings.word_embeddings.weight' : 'lm_head.decoder.weight');
  return linear(normed, decoder, weights('lm_head.bias'));
}

/** The first token decides. hiddenStates: (T, C). Returns (1, labels). Source: HF LongformerClassificationHead. */
export function sequenceClassificationLogits(hiddenStates: Tensor64, weights: Weights): Tensor64 {
  const first = sliceRows(hiddenStates, 0, 1); // (1, C)
  return dense(activate(dense(first, weights, 'classifier.dense'), 'tanh'), weights, 'classifier.out_proj');
}

/** How well each token begins and ends the answer. hiddenStates: (T, C). Returns two times (T). */
export function questionAnsweringLogits(
  hiddenStates: Tensor64,
  weights: Weights,
): { startLogits: Tensor64; endLogits: Tensor64 } {
  const logits = dense(hiddenStates, weights, 'qa_outputs'); // (T, 2): start, end
  const sequenceLength = logits.shape[0]!;
  const column = (c: number): Tensor64 => ({
    shape: [sequenceLength],
    data: logits.data.filter((_, at) => at % 2 === c),
  });
  return { startLogits: column(0), endLogits: column(1) };
}

/** A score for each label of each token. hiddenStates: (T, C). Returns (T, labels). */
export function tokenClassificationLogits(hiddenStates: Tensor64, weights: Weights): Tensor64 {
  return dense(hiddenStates, weights, 'classifier');
}

/** One score for one choice, from the pooled first token. pooled: (1, C). Returns (1, 1). */
export function multipleChoiceLogit(pooled: Tensor64, weights: Weights): Tensor64 {
  return dense(pooled, weights, 'classifier');
}

/** Every tensor a head reads besides the encoder's. */
export function headWeightNames(config: LongformerConfig): string[] {
  const pair = (name: string): string[] => [`${name}.weight`, `${name}.bias`];
  const names: Record<LongformerHead, string[]> = {
    none: [],
    maskedLm: [
      ...pair('lm_head.dense'),
      ...pair('lm_head.layer_norm'),
      'lm_head.bias',
      ...(config.tieWordEmbeddings ? [] : ['lm_head.decoder.weight']),
    ],
    sequenceClassification: [...pair('classifier.dense'), ...pair('classifier.out_proj')],
    questionAnswering: pair('qa_outputs'),
    tokenClassification: pair('classifier'),
    multipleChoice: [...poolerWeightNames, ...pair('classifier')],
  };
  return names[config.head];
}
