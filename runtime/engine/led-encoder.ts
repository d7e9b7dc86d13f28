/**
 * LED's encoder, and what decoders read of it: keys and values of the cross-attention of every decoder layer, made once per source.
 *
 * Read before: encoder-layers.ts, led-weights.ts. Read next: led-decoder.ts.
 */
import type { LedConfig } from '../../contract/config.ts';
import type { DeviceHandle, DeviceRows, DeviceSequence, Kernels } from '../../contract/kernels.ts';
import type { EncoderInputs, LedWant } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { embedSources } from './embed.ts';
import { readDocuments, runEncoderLayers } from './encoder-layers.ts';
import type { LedWeights } from './led-weights.ts';
import { packDocuments } from './pack.ts';
import { createTurns, type TurnOptions } from './turns.ts';
import { allocateWorkspace, type EncoderShape, expectRoomFor, workspaceBytes } from './workspace.ts';

/** Keys and values of one decoder layer, (T, C) of all packed sources. */
export interface CrossRows {
  readonly key: DeviceRows;
  readonly value: DeviceRows;
}

/** Sources as decoders see them. */
export interface ReadSources {
  /** (documents) T of each. */
  readonly lengths: readonly number[];
  /** The packed sources without global tokens; hidden is what the caller's attention mask hides. */
  readonly sequence: DeviceSequence;
  /** (decoderLayers) */
  readonly cross: readonly CrossRows[];
  /** (documents)(T, C), when asked for. */
  readonly lastHiddenStates: readonly Tensor[] | null;
  readonly handles: readonly DeviceHandle[];
}

export interface ReadOptions extends TurnOptions {
  readonly where: string;
  readonly want?: Pick<LedWant, 'encoderHiddenStates' | 'encoderAttentions'>;
  /** Whether the last hidden states are read back. */
  readonly keepHiddenStates?: boolean;
}

export const encoderShapeOf = (config: LedConfig): EncoderShape => ({
  hiddenSize: config.hiddenSize,
  intermediateSize: config.encoderIntermediateSize,
  heads: config.encoderHeads,
  oneSidedWindow: config.oneSidedWindow,
});

/** Bytes of the cross-attention of packed sources with `rows` tokens, in float32. */
export const crossBytes = ({ decoderLayers, hiddenSize }: LedConfig, rows: number): number =>
  8 * decoderLayers * rows * hiddenSize;

/** Bytes that a source of `tokens` tokens takes while it is read, its first token global. */
export function sourceBytesOf(config: LedConfig, tokens: number): number {
  const globalAttentionMask = new Int32Array(tokens);
  globalAttentionMask[0] = 1;
  const packed = packDocuments([{ inputIds: new Int32Array(tokens), globalAttentionMask }]);
  const request = { lastRows: null, attentions: false, head: null };
  return workspaceBytes(encoderShapeOf(config), packed, request) + crossBytes(config, tokens);
}

/**
 * Runs the encoder over all documents, packed. Everything it needs is allocated before it begins.
 *
 * HF LEDEncoder.forward and the first use of each LEDDecoderAttention over it.
 * @throws MemoryError, AbortedError; nothing stays allocated then
 */
export async function readSources(
  kernels: Kernels,
  config: LedConfig,
  weights: LedWeights,
  documents: readonly EncoderInputs[],
  options: ReadOptions,
): Promise<ReadSources> {
  const { where, want = {} } = options;
  const { encoder, decoder } = weights;
  const packed = packDocuments(documents);
  const shape = encoderShapeOf(config);
  const request = { lastRows: null, attentions: want.encoderAttentions !== undefined, head: null, where };
  expectRoomFor(kernels, where, workspaceBytes(shape, packed, request) + crossBytes(config, packed.rows), packed.rows);
  const kept: DeviceHandle[] = [];
  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    kept.push(handle);
    return handle;
  };
  try {
    const crossRows = (): DeviceRows => keep(kernels.allocate(packed.rows, config.hiddenSize));
    const cross = decoder.layers.map(() => ({ key: crossRows(), value: crossRows() }));
    const sequence = keep(kernels.loadSequence(crossRoles(packed.starts, documents, packed.rows)));
    const space = allocateWorkspace(kernels, shape, packed, request);
    try {
      const { hiddenStates } = space.all; // (T, C)
      embedSources(packed, encoder.tables, config.hiddenSize, (values, firstRow) =>
        kernels.write(hiddenStates, values, firstRow),
      );
      kernels.addLayerNorm(hiddenStates, hiddenStates, null, encoder.embeddingNorm, config.layerNormEps);
      const turn = createTurns(where, options, config.encoderLayers + config.decoderLayers);
      await runEncoderLayers(kernels, packed, space, {
        layers: encoder.layers,
        settingsOf: layer => ({
          band: {
            heads: config.encoderHeads,
            causal: false,
            oneSidedWindow: config.oneSidedWindow[layer]!,
            dilation: config.dilation[layer]!,
          },
          activation: config.hiddenActivation,
          eps: config.layerNormEps,
        }),
        want: { hiddenStates: want.encoderHiddenStates, attentions: want.encoderAttentions },
        turn,
      });
      for (const [layer, { key, value }] of cross.entries()) {
        kernels.linear(key, hiddenStates, decoder.layers[layer]!.cross.key);
        kernels.linear(value, hiddenStates, decoder.layers[layer]!.cross.value);
        await turn();
      }
      const lastHiddenStates = options.keepHiddenStates ? await readDocuments(kernels, packed, hiddenStates) : null;
      return { lengths: [...packed.lengths], sequence, cross, lastHiddenStates, handles: kept };
    } finally {
      kernels.free(...space.handles);
    }
  } catch (error) {
    kernels.free(...kept);
    throw error;
  }
}

/**
 * What cross-attention knows of the sources. Subtle: it sees what the caller's attention mask shows, and a global mask of -1 hides
 * nothing from it. HF LEDModel.forward gives the decoder the mask as it came.
 */
function crossRoles(
  documentStarts: Int32Array,
  documents: readonly EncoderInputs[],
  rows: number,
): Parameters<Kernels['loadSequence']>[0] {
  const attentionMask = new Uint8Array(rows).fill(1);
  for (const [document, inputs] of documents.entries()) {
    if (inputs.attentionMask) attentionMask.set(inputs.attentionMask, documentStarts[document]!);
  }
  return { documentStarts, attentionMask, globalIndices: new Int32Array() };
}
