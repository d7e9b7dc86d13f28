/**
 * LED checkpoint → handles, role by role: the encoder's layers in the shape Longformer's have, the decoder's, and a head.
 *
 * Read before: weights.ts. Read next: led-encoder.ts.
 */
import { type LedCheckpoint, TensorScratch } from '../../contract/checkpoint.ts';
import type { DeviceHandle, DeviceLinear, DeviceNorm, Kernels } from '../../contract/kernels.ts';
import type { LoadOptions } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { expectNotAborted } from './turns.ts';
import { type EmbeddingTables, type LayerWeights, makeRoomForWeights, pairReader } from './weights.ts';

/** One of the two attentions of a decoder layer, with the norm behind it. */
export interface AttentionWeights {
  readonly query: DeviceLinear;
  readonly key: DeviceLinear;
  readonly value: DeviceLinear;
  readonly output: DeviceLinear;
  readonly norm: DeviceNorm;
}

export interface DecoderLayerWeights {
  readonly self: AttentionWeights;
  readonly cross: AttentionWeights;
  readonly intermediate: DeviceLinear;
  readonly output: DeviceLinear;
  readonly outputNorm: DeviceNorm;
}

/** Encoder or decoder. Tables stay on the host: embed.ts. */
export interface SideWeights<Layer> {
  readonly tables: Pick<EmbeddingTables, 'words' | 'positions'>;
  readonly embeddingNorm: DeviceNorm;
  readonly layers: readonly Layer[];
}

export type LedHeadWeights =
  | { readonly head: 'none' }
  /** (C → V), the bias is final_logits_bias. */
  | { readonly head: 'conditionalGeneration'; readonly vocabulary: DeviceLinear }
  | { readonly head: 'questionAnswering'; readonly classifier: DeviceLinear }
  | { readonly head: 'sequenceClassification'; readonly dense: DeviceLinear; readonly classifier: DeviceLinear };

export interface LedWeights {
  readonly encoder: SideWeights<LayerWeights>;
  readonly decoder: SideWeights<DecoderLayerWeights>;
  readonly headWeights: LedHeadWeights;
  /** Every handle, to be freed with the model. */
  readonly handles: readonly DeviceHandle[];
}

/**
 * Loads all weights of an LED into a backend. What was loaded is freed again when loading fails.
 *
 * @throws CheckpointError, MemoryError, AbortedError
 */
export async function loadLedWeights(
  kernels: Kernels,
  checkpoint: LedCheckpoint,
  options: LoadOptions,
): Promise<LedWeights> {
  makeRoomForWeights(kernels, bytesOnDevice(checkpoint));
  const handles: DeviceHandle[] = [];
  try {
    return await loadAll(kernels, checkpoint, options, handles);
  } catch (error) {
    kernels.free(...handles);
    throw error;
  }
}

/** Everything but the embedding tables; the vocabulary matrix is the word table once more, in the backend's layout. */
function bytesOnDevice(checkpoint: LedCheckpoint): number {
  const { hiddenSize, vocabSize, head } = checkpoint.config;
  const elements = (name: string): number => checkpoint.shape(name).reduce((product, extent) => product * extent, 1);
  const onDevice = checkpoint.names.filter(name => !/^(shared|lm_head|\w+\.embed_\w+)\.weight$/.test(name));
  const vocabulary = head === 'conditionalGeneration' ? vocabSize * hiddenSize : 0;
  return 4 * (onDevice.reduce((sum, name) => sum + elements(name), 0) + vocabulary);
}

async function loadAll(
  kernels: Kernels,
  checkpoint: LedCheckpoint,
  { signal, onProgress }: LoadOptions,
  handles: DeviceHandle[],
): Promise<LedWeights> {
  const { config } = checkpoint;
  const parts = config.encoderLayers + config.decoderLayers + 2;
  let done = 0;
  const report = (): void => {
    onProgress?.(++done / parts);
    expectNotAborted('engine.load', signal);
  };
  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    handles.push(handle);
    return handle;
  };
  const pair = pairReader(checkpoint);
  const load: Load = {
    linear: async name => keep(kernels.loadLinear(...(await pair(name)))),
    norm: async name => keep(kernels.loadNorm(...(await pair(name)))),
  };

  const [encoderWords, decoderWords] = await loadWordTables(checkpoint);
  report();
  const side = async <Layer>(name: string, words: Tensor, count: number, layer: LoadLayer<Layer>) => {
    const positions = await checkpoint.tensor(`${name}.embed_positions.weight`);
    const embeddingNorm = await load.norm(`${name}.layernorm_embedding`);
    const layers: Layer[] = [];
    for (let index = 0; index < count; index++) {
      layers.push(await layer(load, `${name}.layers.${index}`));
      report();
    }
    return { tables: { words, positions }, embeddingNorm, layers };
  };
  const encoder = await side('encoder', encoderWords, config.encoderLayers, loadEncoderLayer);
  const decoder = await side('decoder', decoderWords, config.decoderLayers, loadDecoderLayer);
  const headWeights = await loadHead(kernels, checkpoint, encoderWords, load, keep);
  report();
  return { encoder, decoder, headWeights, handles };
}

interface Load {
  readonly linear: (name: string) => Promise<DeviceLinear>;
  readonly norm: (name: string) => Promise<DeviceNorm>;
}
type LoadLayer<Layer> = (load: Load, name: string) => Promise<Layer>;

/** One table for both sides where there is one; untied files may hold it twice, or two of them. */
async function loadWordTables(checkpoint: LedCheckpoint): Promise<[Tensor, Tensor]> {
  if (checkpoint.config.tieWordEmbeddings) {
    const shared = await checkpoint.tensor('shared.weight');
    return [shared, shared];
  }
  const encoder = await checkpoint.tensor('encoder.embed_tokens.weight');
  const decoder = await checkpoint.tensor('decoder.embed_tokens.weight');
  const same = encoder.data.every((value, i) => value === decoder.data[i]);
  return [encoder, same ? encoder : decoder];
}

async function loadEncoderLayer({ linear, norm }: Load, name: string): Promise<LayerWeights> {
  const attention = `${name}.self_attn.longformer_self_attn`;
  return {
    query: await linear(`${attention}.query`),
    key: await linear(`${attention}.key`),
    value: await linear(`${attention}.value`),
    queryGlobal: await linear(`${attention}.query_global`),
    keyGlobal: await linear(`${attention}.key_global`),
    valueGlobal: await linear(`${attention}.value_global`),
    attentionOutput: await linear(`${name}.self_attn.output`),
    attentionNorm: await norm(`${name}.self_attn_layer_norm`),
    intermediate: await linear(`${name}.fc1`),
    output: await linear(`${name}.fc2`),
    outputNorm: await norm(`${name}.final_layer_norm`),
  };
}

async function loadDecoderLayer({ linear, norm }: Load, name: string): Promise<DecoderLayerWeights> {
  const attention = async (part: string): Promise<AttentionWeights> => ({
    query: await linear(`${name}.${part}.q_proj`),
    key: await linear(`${name}.${part}.k_proj`),
    value: await linear(`${name}.${part}.v_proj`),
    output: await linear(`${name}.${part}.out_proj`),
    norm: await norm(`${name}.${part}_layer_norm`),
  });
  return {
    self: await attention('self_attn'),
    cross: await attention('encoder_attn'),
    intermediate: await linear(`${name}.fc1`),
    output: await linear(`${name}.fc2`),
    outputNorm: await norm(`${name}.final_layer_norm`),
  };
}

async function loadHead(
  kernels: Kernels,
  checkpoint: LedCheckpoint,
  words: Tensor,
  { linear }: Load,
  keep: (handle: DeviceLinear) => DeviceLinear,
): Promise<LedHeadWeights> {
  const { head, tieWordEmbeddings, vocabSize } = checkpoint.config;
  switch (head) {
    case 'none':
      return { head };
    case 'conditionalGeneration': {
      const weight = tieWordEmbeddings ? words : await checkpoint.tensor('lm_head.weight', new TensorScratch());
      const bias = checkpoint.has('final_logits_bias') ? await checkpoint.tensor('final_logits_bias') : null; // (1, V)
      return { head, vocabulary: keep(kernels.loadLinear(weight, bias && { shape: [vocabSize], data: bias.data })) };
    }
    case 'questionAnswering':
      return { head, classifier: await linear('qa_outputs') };
    case 'sequenceClassification':
      return {
        head,
        dense: await linear('classification_head.dense'),
        classifier: await linear('classification_head.out_proj'),
      };
  }
}
