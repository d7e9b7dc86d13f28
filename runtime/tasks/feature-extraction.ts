/** Vectors of texts. Source: HF FeatureExtractionPipeline; pooling as in sentence encoders. */
import type { Tensor } from '../../contract/tensor.ts';
import { encodeDocument, expectOneOf, forEachDocument, nameOf, type TaskModel, type TaskOptions } from './documents.ts';
import { expectHead } from './heads.ts';

export interface FeatureExtractionOptions extends TaskOptions {
  /**
   * none: a vector for each token; cls: that of <s>; mean: their mean, special tokens included; auto: what the 1_Pooling/config.json of a
   * sentence encoder says, and mean where there is none. Default none.
   */
  readonly pooling?: 'none' | 'cls' | 'mean' | 'auto';
  /** Vectors are divided by their length. Default false. */
  readonly normalize?: boolean;
}

/** Of each text: (1, T, C) without pooling, else (1, C). @throws UnsupportedError for a checkpoint that was opened with a head */
export async function extractFeatures(
  task: TaskModel,
  texts: readonly string[],
  options: FeatureExtractionOptions = {},
): Promise<Tensor[]> {
  const { normalize = false } = options;
  const pooling = poolingOf(task, options.pooling ?? 'none');
  expectHead('feature-extraction', task.model.config.head, 'none');
  return forEachDocument(
    task,
    texts.length,
    index => [encodeDocument(task, nameOf('text', index, texts.length), [texts[index]!], options)],
    (_index, _windows, [outputs]) => {
      const pooled = pool(outputs!.lastHiddenState!, pooling);
      return normalize ? normalized(pooled) : pooled;
    },
    options,
    { lastHiddenState: true },
  );
}

/** @throws UnsupportedError for another name, and for a sentence encoder that pools otherwise */
function poolingOf(task: TaskModel, asked: string): 'none' | 'cls' | 'mean' {
  expectOneOf('feature-extraction', 'pooling', asked, ['none', 'cls', 'mean', 'auto']);
  if (asked !== 'auto') return asked as 'none' | 'cls' | 'mean';
  const { pooling = 'mean' } = task;
  expectOneOf('feature-extraction', '1_Pooling/config.json', pooling, ['cls', 'mean']);
  return pooling as 'cls' | 'mean';
}

/** (T, C) → (1, T, C) or (1, C). */
function pool({ shape, data }: Tensor, pooling: 'none' | 'cls' | 'mean'): Tensor {
  const [tokens, hiddenSize] = shape as [number, number];
  if (pooling === 'none') return { shape: [1, tokens, hiddenSize], data };
  if (pooling === 'cls') return { shape: [1, hiddenSize], data: data.slice(0, hiddenSize) };
  const sums = new Float64Array(hiddenSize);
  for (let t = 0; t < tokens; t++) for (let c = 0; c < hiddenSize; c++) sums[c]! += data[t * hiddenSize + c]!;
  const mean = sums.map(sum => sum / tokens);
  return { shape: [1, hiddenSize], data: data instanceof Float64Array ? mean : new Float32Array(mean) };
}

/** Each vector of length 1; a zero vector stays. */
function normalized({ shape, data }: Tensor): Tensor {
  const hiddenSize = shape.at(-1)!;
  const result = data.slice();
  for (let from = 0; from < data.length; from += hiddenSize) {
    let squares = 0;
    for (let c = 0; c < hiddenSize; c++) squares += data[from + c]! ** 2;
    const length = Math.sqrt(squares) || 1;
    for (let c = 0; c < hiddenSize; c++) result[from + c] = data[from + c]! / length;
  }
  return { shape, data: result };
}
