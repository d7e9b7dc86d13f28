/**
 * LED from sources and targets to a head's outputs, without a cache: the encoder over all documents at once, then target by target.
 *
 * Read before: led-encoder.ts, led-decoder.ts. Read next: led-model.ts.
 */
import type { LedConfig } from '../../contract/config.ts';
import type { DeviceHandle, DeviceIndices, DeviceRows, Kernels } from '../../contract/kernels.ts';
import { decoderIdsOf } from '../../contract/led-inputs.ts';
import type { LedForwardOptions, LedInputs, LedOutputs, LedWant } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { sumRows } from './embed.ts';
import { readProbabilities } from './encoder-layers.ts';
import {
  allocateDecoderRows,
  type DecoderReading,
  type DecoderRows,
  decoderFloats,
  decoderLayer,
} from './led-decoder.ts';
import { type ReadSources, readSources } from './led-encoder.ts';
import type { LedHeadWeights, LedWeights } from './led-weights.ts';
import { createTurns } from './turns.ts';
import { expectRoomFor } from './workspace.ts';

const where = 'led.forward';

/** Rows of logits computed at once: 256 rows of 50,265 are 51 MB. */
const logitBlock = 256;

/** documents: checked. @throws MemoryError, AbortedError */
export async function forwardLed(
  kernels: Kernels,
  config: LedConfig,
  weights: LedWeights,
  documents: readonly LedInputs[],
  options: LedForwardOptions,
): Promise<LedOutputs[]> {
  const { want = {}, signal, onProgress } = options;
  // Progress by layers; a target's layers count like a source's.
  const share = 1 / (1 + documents.length);
  const sources = await readSources(kernels, config, weights, documents, {
    where,
    want,
    signal,
    onProgress: done => onProgress?.(done * share),
    keepHiddenStates: true,
  });
  try {
    const outputs: LedOutputs[] = [];
    for (const [document, inputs] of documents.entries()) {
      const target = { inputs, document, sources };
      outputs.push(
        await forwardTarget(kernels, config, weights, target, {
          want,
          signal,
          onProgress: done => onProgress?.((1 + document + done) * share),
        }),
      );
    }
    return outputs;
  } finally {
    kernels.free(...sources.handles);
  }
}

interface Target {
  readonly inputs: LedInputs;
  readonly document: number;
  readonly sources: ReadSources;
}

interface TargetSpace {
  readonly rows: DecoderRows;
  readonly cache: { readonly key: DeviceRows; readonly value: DeviceRows };
  readonly reading: DecoderReading;
  /** (block, features of the head's output); null without a head. */
  readonly logits: DeviceRows | null;
  /** Sequence classification: (1, C) twice, and the row that is classified. */
  readonly classified: {
    readonly row: DeviceIndices;
    readonly selected: DeviceRows;
    readonly dense: DeviceRows;
  } | null;
}

/** The decoder and the head over one target. */
async function forwardTarget(
  kernels: Kernels,
  config: LedConfig,
  weights: LedWeights,
  target: Target,
  options: LedForwardOptions & { readonly want: LedWant },
): Promise<LedOutputs> {
  const { want } = options;
  const { document, sources } = target;
  const handles: DeviceHandle[] = [];
  try {
    const space = allocateTarget(kernels, config, target, want, handles);
    const { rows, cache, reading } = space;
    embedTarget(kernels, config, weights, target.inputs, rows.hiddenStates);
    await want.decoderHiddenStates?.(document, 0, await readAll(kernels, rows.hiddenStates));
    const turn = createTurns(where, options, weights.decoder.layers.length);
    for (const [layer, layerWeights] of weights.decoder.layers.entries()) {
      decoderLayer(kernels, config, layerWeights, rows, cache, layer, reading);
      if (reading.probabilities) {
        const { self, cross } = reading.probabilities;
        const { decoderHeads: heads } = config;
        const [n, keys] = [rows.hiddenStates.rows, sources.lengths[document]!];
        await want.decoderAttentions?.(document, layer, {
          self: await readProbabilities(kernels, self, heads, n, n),
          cross: await readProbabilities(kernels, cross, heads, n, keys),
        });
      }
      await want.decoderHiddenStates?.(document, layer + 1, await readAll(kernels, rows.hiddenStates));
      await turn();
    }
    return {
      encoderLastHiddenState: sources.lastHiddenStates![document]!,
      decoderLastHiddenState: await readAll(kernels, rows.hiddenStates),
      ...(await runHead(kernels, weights.headWeights, space)),
    };
  } finally {
    kernels.free(...handles);
  }
}

function allocateTarget(
  kernels: Kernels,
  config: LedConfig,
  { inputs, document, sources }: Target,
  want: LedWant,
  handles: DeviceHandle[],
): TargetSpace {
  const { hiddenSize, decoderHeads, vocabSize, labels, head } = config;
  const { decoderAttentionMask } = inputs;
  const length = targetLength(inputs, config);
  const keys = sources.lengths[document]!;
  const features = {
    none: 0,
    conditionalGeneration: vocabSize,
    questionAnswering: labels,
    sequenceClassification: labels,
  }[head];
  const logitRows = head === 'conditionalGeneration' ? Math.min(logitBlock, length) : length;
  const probabilities = want.decoderAttentions ? decoderHeads * length * (length + keys) : 0;
  const floats = decoderFloats(config, length) + 2 * (length + 1) * hiddenSize + logitRows * features + probabilities;
  expectRoomFor(kernels, where, 4 * floats, length);

  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    handles.push(handle);
    return handle;
  };
  const rowsOf = (rows: number, columns: number): DeviceRows => keep(kernels.allocate(rows, columns));
  // HF looks at the mask only when there is more than one position.
  const padded = length > 1 && decoderAttentionMask?.includes(0);
  return {
    rows: allocateDecoderRows(kernels, config, length, keep),
    cache: { key: rowsOf(length, hiddenSize), value: rowsOf(length, hiddenSize) },
    reading: {
      sources,
      groups: 1,
      groupDocuments: keep(kernels.loadIndices(Int32Array.of(document))),
      past: 0,
      target: padded
        ? {
            sequence: keep(
              kernels.loadSequence({
                documentStarts: Int32Array.of(0),
                attentionMask: Uint8Array.from(decoderAttentionMask!),
                globalIndices: new Int32Array(),
              }),
            ),
            document: keep(kernels.loadIndices(Int32Array.of(0))),
          }
        : null,
      probabilities: want.decoderAttentions
        ? { self: rowsOf(decoderHeads * length, length), cross: rowsOf(decoderHeads * length, keys) }
        : null,
    },
    logits: features > 0 ? rowsOf(logitRows, features) : null,
    classified:
      head === 'sequenceClassification'
        ? {
            // HF: the last </s> of the source, in the decoder's rows.
            row: keep(kernels.loadIndices(Int32Array.of(inputs.inputIds!.lastIndexOf(config.eosTokenId)))),
            selected: rowsOf(1, hiddenSize),
            dense: rowsOf(1, hiddenSize),
          }
        : null,
  };
}

const targetLength = (inputs: LedInputs, config: LedConfig): number =>
  inputs.decoderInputsEmbeds?.shape[0] ?? decoderIdsOf(inputs, config).length;

/** Word + position of each row, normalised. HF LEDDecoder.forward. */
function embedTarget(
  kernels: Kernels,
  config: LedConfig,
  { decoder }: LedWeights,
  inputs: LedInputs,
  hiddenStates: DeviceRows,
): void {
  const { decoderInputsEmbeds } = inputs;
  const ids = decoderInputsEmbeds ? null : decoderIdsOf(inputs, config);
  sumRows(
    hiddenStates.rows,
    config.hiddenSize,
    t => [ids ? [decoder.tables.words, ids[t]!] : [decoderInputsEmbeds!, t], [decoder.tables.positions, t]],
    (values, firstRow) => kernels.write(hiddenStates, values, firstRow),
  );
  kernels.addLayerNorm(hiddenStates, hiddenStates, null, decoder.embeddingNorm, config.layerNormEps);
}

async function readAll(kernels: Kernels, rows: DeviceRows): Promise<Tensor> {
  return { shape: [rows.rows, rows.features], data: await kernels.read(rows, 0, rows.rows) };
}

async function runHead(
  kernels: Kernels,
  weights: LedHeadWeights,
  { rows: { hiddenStates }, logits, classified }: TargetSpace,
): Promise<Pick<LedOutputs, 'logits' | 'startLogits' | 'endLogits'>> {
  switch (weights.head) {
    case 'none':
      return {};
    case 'conditionalGeneration':
      return { logits: await vocabularyLogits(kernels, weights.vocabulary, hiddenStates, logits!) };
    case 'questionAnswering': {
      kernels.linear(logits!, hiddenStates, weights.classifier);
      const { shape, data } = await readAll(kernels, logits!); // (U, 2)
      const column = (c: number): Tensor => ({ shape: [shape[0]!], data: data.filter((_, at) => at % 2 === c) });
      return { startLogits: column(0), endLogits: column(1) };
    }
    case 'sequenceClassification': {
      const { row, selected, dense } = classified!;
      kernels.gatherRows(selected, hiddenStates, row);
      kernels.linear(dense, selected, weights.dense, { activation: 'tanh' });
      kernels.linear(logits!, dense, weights.classifier);
      return { logits: { shape: [logits!.features], data: await kernels.read(logits!, 0, 1) } };
    }
  }
}

/** (U, V), computed in blocks of rows, so that the widest buffer of the backend does not grow with the target. */
async function vocabularyLogits(
  kernels: Kernels,
  vocabulary: Parameters<Kernels['linear']>[2],
  hiddenStates: DeviceRows,
  logits: DeviceRows,
): Promise<Tensor> {
  const { features } = logits;
  let all: Float32Array | Float64Array | undefined;
  for (let inputRow = 0; inputRow < hiddenStates.rows; inputRow += logits.rows) {
    const rowCount = Math.min(logits.rows, hiddenStates.rows - inputRow);
    kernels.linear(logits, hiddenStates, vocabulary, { inputRow, rowCount });
    const block = await kernels.read(logits, 0, rowCount);
    if (rowCount === hiddenStates.rows) all = block;
    else {
      const elements = hiddenStates.rows * features;
      all ??= block instanceof Float64Array ? new Float64Array(elements) : new Float32Array(elements);
      all.set(block, inputRow * features);
    }
  }
  return { shape: [hiddenStates.rows, features], data: all! };
}
