/** Weights and documents as the kernels read them: everything is float32, and whole numbers are exact up to 2²⁴. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { SequenceRoles } from '../../contract/kernels.ts';
import type { Tensor } from '../../contract/tensor.ts';

const mostExact = 2 ** 24;

/** @throws ValueRangeError where float32 could not tell a row number from the next */
export function expectExact(where: string, name: string, number: number): void {
  if (number <= mostExact) return;
  throw new ValueRangeError({ where: `gpujs.${where}`, name, expected: `at most ${mostExact}`, got: String(number) });
}

/**
 * (outFeatures, inFeatures) and a bias → (inFeatures + 1, outFeatures), the bias below.
 *
 * In blocks of rows; upload takes each with the number of its first element.
 */
export function packLinear(
  weight: Tensor,
  bias: Tensor | null,
  upload: (values: Float32Array<ArrayBuffer>, first: number) => void,
): void {
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const blockRows = Math.max(1, Math.floor(2 ** 20 / outFeatures));
  for (let first = 0; first <= inFeatures; first += blockRows) {
    const rows = Math.min(blockRows, inFeatures + 1 - first);
    const values = new Float32Array(rows * outFeatures);
    for (let row = 0; row < rows; row++) {
      const k = first + row;
      for (let o = 0; o < outFeatures; o++) {
        values[row * outFeatures + o] = k < inFeatures ? weight.data[o * inFeatures + k]! : (bias?.data[o] ?? 0);
      }
    }
    upload(values, first * outFeatures);
  }
}

export interface SequenceTables {
  /** (T, 4) */
  readonly tokens: Float32Array<ArrayBuffer>;
  /** (N + 1, 2) */
  readonly documents: Float32Array<ArrayBuffer>;
  /** (G) */
  readonly globals: Float32Array<ArrayBuffer>;
  readonly bounds: Int32Array;
  readonly firstGlobals: Int32Array;
}

/** The tables of kernels/keys.ts, and what the host has to know of them. */
export function packSequence({ documentStarts, attentionMask, globalIndices }: SequenceRoles): SequenceTables {
  const length = attentionMask.length;
  const bounds = Int32Array.from([...documentStarts, length]);
  const firstGlobals = bounds.map(start => {
    const first = globalIndices.findIndex(row => row >= start);
    return first < 0 ? globalIndices.length : first;
  });
  const documents = new Float32Array(2 * bounds.length);
  bounds.forEach((start, document) => {
    documents.set([firstGlobals[document]!, start], 2 * document);
  });
  const tokens = new Float32Array(4 * length);
  for (let document = 0; document + 1 < bounds.length; document++) {
    const [start, end] = [bounds[document]!, bounds[document + 1]!];
    for (let token = start; token < end; token++) tokens.set([start, end, attentionMask[token]!, document], 4 * token);
  }
  for (const row of globalIndices) tokens[4 * row + 2] = 2;
  return { tokens, documents, globals: Float32Array.from(globalIndices), bounds, firstGlobals };
}
