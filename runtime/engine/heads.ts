/**
 * The heads as kernel calls: which rows of the last layer they read, and what they make of them.
 *
 * Read before: encoder-layer.ts. Read next: longformer-model.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import { sequenceLengthOf } from '../../contract/encoder-inputs.ts';
import { MemoryError, ValueRangeError } from '../../contract/errors.ts';
import type { DeviceHandle, DeviceIndices, DeviceLinear, DeviceRows, Kernels } from '../../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, Want } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import type { Packed } from './pack.ts';
import type { HeadWeights } from './weights.ts';

/** Rows of masked-LM logits computed at once: 256 rows of 50,265 are 51 MB. */
const logitBlock = 256;

/**
 * The mask a head uses when the caller gives none. HF: position 0 for sequence classification, everything before the first of three
 * separators for question answering, everything after the second for multiple choice.
 *
 * @throws ValueRangeError unless a row that needs separators has exactly three.
 */
export function defaultGlobalAttentionMask(inputs: EncoderInputs, config: LongformerConfig): Int32Array | undefined {
  if (config.head === 'sequenceClassification') {
    const mask = new Int32Array(sequenceLengthOf(inputs));
    mask[0] = 1;
    return mask;
  }
  const looksForSeparators = config.head === 'questionAnswering' || config.head === 'multipleChoice';
  if (!looksForSeparators || !inputs.inputIds) return undefined;
  const { inputIds } = inputs;
  const first = inputIds.indexOf(config.sepTokenId);
  const count = inputIds.reduce((sum, id) => sum + (id === config.sepTokenId ? 1 : 0), 0);
  if (count !== 3) {
    throw new ValueRangeError({
      where: 'longformer.forward',
      name: 'inputIds',
      expected: `exactly 3 separators (id ${config.sepTokenId}) in each row: <s> question </s></s> context </s>`,
      got: String(count),
      hint: 'lay the pair out that way, or say which tokens are global with globalAttentionMask.',
    });
  }
  const isQuestion = config.head === 'questionAnswering';
  return inputIds.map((_, t) => Number(isQuestion ? t < first : t > first + 1));
}

/** Rows of the packed documents that the last layer must produce; null = all. */
export function rowsForHead(packed: Packed, config: LongformerConfig, want: Want): Int32Array | null {
  const keepsHiddenStates = want.lastHiddenState ?? config.head === 'none';
  if (keepsHiddenStates || want.hiddenStates || want.attentions) return null;
  switch (config.head) {
    case 'none':
    case 'sequenceClassification':
    case 'multipleChoice':
      return packed.starts;
    case 'maskedLm': {
      if (!want.logitRows) return null;
      return Int32Array.from(
        want.logitRows.flatMap((rows, document) => [...rows].map(row => packed.starts[document]! + row)),
      );
    }
    default:
      return null;
  }
}

/** Bytes of logits of a masked LM that are kept for the outputs of one call, at most: 1,335 rows of 50,265. */
const mostKeptLogits = 2 ** 28;

/** All logits of a long document are only given out as a stream. @throws MemoryError */
export function expectKeptLogits(config: LongformerConfig, { lengths }: Pick<Packed, 'lengths'>, want: Want): void {
  if (config.head !== 'maskedLm' || want.logits) return;
  const rows = [...lengths].reduce((sum, length, i) => sum + (want.logitRows?.[i]?.length ?? length), 0);
  const bytes = 4 * rows * config.vocabSize;
  if (bytes <= mostKeptLogits) return;
  throw new MemoryError({
    where: 'longformer.forward',
    name: 'logits',
    expected: `at most ${mostKeptLogits} bytes in the outputs`,
    got: `${bytes} for ${rows} rows`,
    hint: 'take them in blocks of rows with want.logits, or name the rows you need in want.logitRows.',
  });
}

/** Buffers of a head, allocated with the workspace: a pass that begins can finish. */
export interface HeadSpace {
  /** Heads that read the first row of each document: where it stands among the produced rows. */
  readonly firstRows: DeviceIndices | null;
  /** (documents, C), or (block, C) for masked LM. */
  readonly selected: DeviceRows | null;
  /** The same shape: after the dense layer. */
  readonly transformed: DeviceRows | null;
  /** (documents, labels), (T, labels) or (block, V). */
  readonly logits: DeviceRows | null;
}

/** Numbers in the buffers of a head. */
export function headElements(config: LongformerConfig, packed: Packed, want: Want): number {
  const { hiddenSize, labels, vocabSize, head } = config;
  const perToken = head === 'tokenClassification' || head === 'questionAnswering';
  if (perToken) return packed.rows * labels;
  if (head === 'maskedLm') return logitBlockOf(packed, want) * (2 * hiddenSize + vocabSize);
  return packed.documents.length * (2 * hiddenSize + labels);
}

/** keep: sees every handle, so that the caller can free them. produced: rows the last layer produces, null = all. */
export function allocateHead(
  kernels: Kernels,
  packed: Packed,
  produced: Int32Array | null,
  { config, want }: { readonly config: LongformerConfig; readonly want: Want },
  keep: <Handle extends DeviceHandle>(handle: Handle) => Handle,
): HeadSpace {
  const { hiddenSize, labels, vocabSize, head } = config;
  const rowsOf = (rows: number, features: number): DeviceRows => keep(kernels.allocate(rows, features));
  if (head === 'tokenClassification' || head === 'questionAnswering') {
    return { firstRows: null, selected: null, transformed: null, logits: rowsOf(packed.rows, labels) };
  }
  const rows = head === 'maskedLm' ? logitBlockOf(packed, want) : packed.documents.length;
  const places = produced ? packed.starts.map(start => produced.indexOf(start)) : packed.starts;
  const outputs = { none: 0, maskedLm: vocabSize, sequenceClassification: labels, multipleChoice: 1 }[head];
  return {
    firstRows: head === 'maskedLm' ? null : keep(kernels.loadIndices(places)),
    selected: rowsOf(rows, hiddenSize),
    transformed: rowsOf(rows, hiddenSize),
    logits: outputs === 0 ? null : rowsOf(rows, outputs),
  };
}

const logitBlockOf = (packed: Packed, want: Want): number => {
  const rows = packed.documents.map((_, document) => want.logitRows?.[document]?.length ?? packed.lengths[document]!);
  return Math.min(logitBlock, Math.max(1, ...rows));
};

/**
 * Runs the head on the produced rows and reads its outputs: one entry for each document, without `lastHiddenState`.
 *
 * hiddenStates: the rows of `produced` (all rows when null), ascending.
 */
export async function runHead(
  kernels: Kernels,
  weights: HeadWeights,
  space: HeadSpace,
  packed: Packed,
  hiddenStates: DeviceRows,
  produced: Int32Array | null,
  want: Want,
  layerNormEps: number,
): Promise<EncoderOutputs[]> {
  /** The first row of each document, through a dense layer with tanh. */
  const pool = (dense: DeviceLinear): DeviceRows => {
    kernels.gatherRows(space.selected!, hiddenStates, space.firstRows!);
    kernels.linear(space.transformed!, space.selected!, dense, { activation: 'tanh' });
    return space.transformed!;
  };
  const classify = (input: DeviceRows, classifier: DeviceLinear): DeviceRows => {
    kernels.linear(space.logits!, input, classifier);
    return space.logits!;
  };
  /** Reads (documents, features) as one vector for each document. */
  const readVectors = async (rows: DeviceRows): Promise<Tensor[]> => {
    const { features } = rows;
    const values = await kernels.read(rows, 0, rows.rows);
    return packed.documents.map((_, i) => ({
      shape: [features],
      data: values.slice(i * features, (i + 1) * features),
    }));
  };

  switch (weights.head) {
    case 'none': {
      if (!weights.pooler) return packed.documents.map(() => ({}));
      return (await readVectors(pool(weights.pooler))).map(poolerOutput => ({ poolerOutput }));
    }
    case 'sequenceClassification':
      return (await readVectors(classify(pool(weights.dense), weights.classifier))).map(logits => ({ logits }));
    case 'multipleChoice':
      return (await readVectors(classify(pool(weights.pooler), weights.classifier))).map(logits => ({ logits }));
    case 'tokenClassification':
    case 'questionAnswering': {
      const logits = classify(hiddenStates, weights.classifier); // (T, labels)
      const values = await kernels.read(logits, 0, logits.rows);
      return packed.documents.map((_, document) => perToken(weights.head, values, logits.features, packed, document));
    }
    case 'maskedLm':
      return await maskedLm(kernels, weights, space, packed, hiddenStates, produced, want, layerNormEps);
  }
}

/** One document's share of (T, labels). */
function perToken(
  head: HeadWeights['head'],
  values: Float32Array | Float64Array,
  labels: number,
  packed: Packed,
  document: number,
): EncoderOutputs {
  const start = packed.starts[document]!;
  const length = packed.lengths[document]!;
  const data = values.slice(start * labels, (start + length) * labels);
  if (head === 'tokenClassification') return { logits: { shape: [length, labels], data } };
  const column = (c: number): Tensor => ({ shape: [length], data: data.filter((_, at) => at % 2 === c) });
  return { startLogits: column(0), endLogits: column(1) };
}

/** Logits in blocks of rows, so that the widest buffer there is, (block, V), does not grow with the document. */
async function maskedLm(
  kernels: Kernels,
  weights: Extract<HeadWeights, { head: 'maskedLm' }>,
  space: HeadSpace,
  packed: Packed,
  hiddenStates: DeviceRows,
  produced: Int32Array | null,
  want: Want,
  layerNormEps: number,
): Promise<EncoderOutputs[]> {
  const selected = space.selected!;
  const transformed = space.transformed!;
  const logits = space.logits!;
  const placeOf = produced && new Map([...produced].map((row, i) => [row, i]));
  const outputs: EncoderOutputs[] = [];
  for (const document of packed.documents.keys()) {
    const start = packed.starts[document]!;
    const length = packed.lengths[document]!;
    const rows = want.logitRows?.[document] ?? Int32Array.from({ length }, (_, t) => t);
    const kept: (Float32Array | Float64Array)[] = [];
    for (let first = 0; first < rows.length; first += logits.rows) {
      const rowCount = Math.min(logits.rows, rows.length - first);
      const places = rows.slice(first, first + rowCount).map(row => placeOf?.get(start + row) ?? start + row);
      const indices = kernels.loadIndices(places);
      kernels.gatherRows(selected, hiddenStates, indices);
      kernels.free(indices);
      kernels.linear(transformed, selected, weights.dense, { activation: 'gelu', rowCount });
      kernels.addLayerNorm(transformed, transformed, null, weights.norm, layerNormEps);
      kernels.linear(logits, transformed, weights.decoder, { rowCount });
      const values = await kernels.read(logits, 0, rowCount);
      if (want.logits) await want.logits(document, first, { shape: [rowCount, logits.features], data: values });
      else kept.push(values);
    }
    const shape = [rows.length, logits.features];
    outputs.push(want.logits ? {} : { logits: { shape, data: join(kept) } });
  }
  return outputs;
}

/** Blocks one after the other, in the precision they came in. */
function join(parts: readonly (Float32Array | Float64Array)[]): Float32Array | Float64Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = parts[0] instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
