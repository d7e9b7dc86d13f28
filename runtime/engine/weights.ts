/**
 * Checkpoint → handles, role by role. One weight at a time is alive on the host besides the three embedding tables.
 *
 * Read next: workspace.ts.
 */
import { type Checkpoint, TensorScratch } from '../../contract/checkpoint.ts';
import type { LongformerConfig } from '../../contract/config.ts';
import { MemoryError } from '../../contract/errors.ts';
import type { DeviceHandle, DeviceLinear, DeviceNorm, Kernels } from '../../contract/kernels.ts';
import type { LoadOptions } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { expectNotAborted } from './turns.ts';

export interface LayerWeights {
  readonly query: DeviceLinear;
  readonly key: DeviceLinear;
  readonly value: DeviceLinear;
  readonly queryGlobal: DeviceLinear;
  readonly keyGlobal: DeviceLinear;
  readonly valueGlobal: DeviceLinear;
  readonly attentionOutput: DeviceLinear;
  readonly attentionNorm: DeviceNorm;
  readonly intermediate: DeviceLinear;
  readonly output: DeviceLinear;
  readonly outputNorm: DeviceNorm;
}

/** Embedding tables stay on the host: rows of them are summed there (embed.ts). */
export interface EmbeddingTables {
  /** (V, C). */
  readonly words: Tensor;
  /** (maxPositionEmbeddings, C). */
  readonly positions: Tensor;
  /** (typeVocabSize, C). */
  readonly types: Tensor;
}

/** What a head needs besides the encoder. */
export type HeadWeights =
  | { readonly head: 'none'; readonly pooler: DeviceLinear | null }
  | {
      readonly head: 'maskedLm';
      readonly dense: DeviceLinear;
      readonly norm: DeviceNorm;
      readonly decoder: DeviceLinear;
    }
  | { readonly head: 'sequenceClassification'; readonly dense: DeviceLinear; readonly classifier: DeviceLinear }
  | { readonly head: 'questionAnswering' | 'tokenClassification'; readonly classifier: DeviceLinear }
  | { readonly head: 'multipleChoice'; readonly pooler: DeviceLinear; readonly classifier: DeviceLinear };

export interface ModelWeights {
  readonly tables: EmbeddingTables;
  readonly embeddingNorm: DeviceNorm;
  readonly layers: readonly LayerWeights[];
  readonly headWeights: HeadWeights;
  /** Every handle, to be freed with the model. */
  readonly handles: readonly DeviceHandle[];
}

/**
 * Loads all weights of a checkpoint into a backend. What was loaded is freed again when loading fails.
 *
 * @throws CheckpointError, MemoryError, AbortedError
 */
export async function loadWeights(
  kernels: Kernels,
  checkpoint: Checkpoint,
  options: LoadOptions,
): Promise<ModelWeights> {
  makeRoom(kernels, checkpoint);
  const handles: DeviceHandle[] = [];
  try {
    return await loadAll(kernels, checkpoint, options, handles);
  } catch (error) {
    kernels.free(...handles);
    throw error;
  }
}

/** Refuses by arithmetic, before anything is read, and announces what is coming. @throws MemoryError */
function makeRoom(kernels: Kernels, checkpoint: Checkpoint): void {
  const { head, tieWordEmbeddings } = checkpoint.config;
  const elements = (name: string): number => checkpoint.shape(name).reduce((product, extent) => product * extent, 1);
  const onDevice = checkpoint.names.filter(name => !/^embeddings\.\w+_embeddings\.weight$/.test(name));
  let needed = 4 * onDevice.reduce((sum, name) => sum + elements(name), 0);
  // The tied decoder is the word table once more, in the backend's layout.
  if (head === 'maskedLm' && tieWordEmbeddings) needed += 4 * elements('embeddings.word_embeddings.weight');
  makeRoomForWeights(kernels, needed);
}

/** @throws MemoryError when the backend cannot hold so many bytes more */
export function makeRoomForWeights(kernels: Kernels, needed: number): void {
  const room = kernels.availableBytes();
  if (needed > room) {
    throw new MemoryError({
      where: 'engine.load',
      name: 'weights',
      expected: `at most ${room} bytes (what ${kernels.name} can still hold)`,
      got: `${needed} bytes`,
      hint: 'use a smaller checkpoint, or dispose of models that are no longer needed.',
    });
  }
  kernels.reserve?.(needed);
}

async function loadAll(
  kernels: Kernels,
  checkpoint: Checkpoint,
  { signal, onProgress }: LoadOptions,
  handles: DeviceHandle[],
): Promise<ModelWeights> {
  const { config } = checkpoint;
  const stages = config.layers + 2;
  const report = (stage: number): void => {
    onProgress?.(stage / stages);
    expectNotAborted('engine.load', signal);
  };
  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    handles.push(handle);
    return handle;
  };
  const pair = pairReader(checkpoint);
  const linear = async (name: string): Promise<DeviceLinear> => keep(kernels.loadLinear(...(await pair(name))));
  const norm = async (name: string): Promise<DeviceNorm> => keep(kernels.loadNorm(...(await pair(name))));

  const tables: EmbeddingTables = {
    words: await checkpoint.tensor('embeddings.word_embeddings.weight'),
    positions: await checkpoint.tensor('embeddings.position_embeddings.weight'),
    types: await checkpoint.tensor('embeddings.token_type_embeddings.weight'),
  };
  const embeddingNorm = await norm('embeddings.LayerNorm');
  report(1);
  const layers: LayerWeights[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    layers.push(await loadLayer(kernels, pair, layer, keep));
    report(2 + layer);
  }
  const headWeights = await loadHead(kernels, checkpoint, tables, { linear, norm, keep });
  report(stages);
  return { tables, embeddingNorm, layers, headWeights, handles };
}

interface Loaders {
  readonly linear: (name: string) => Promise<DeviceLinear>;
  readonly norm: (name: string) => Promise<DeviceNorm>;
  readonly keep: (handle: DeviceLinear) => DeviceLinear;
}

/** The weights of one layer; `keep` sees every handle. */
export async function loadLayer(
  kernels: Kernels,
  pair: ReadPair,
  layer: number,
  keep: <Handle extends DeviceHandle>(handle: Handle) => Handle,
): Promise<LayerWeights> {
  const name = `encoder.layer.${layer}`;
  const linear = async (part: string): Promise<DeviceLinear> =>
    keep(kernels.loadLinear(...(await pair(`${name}.${part}`))));
  const norm = async (part: string): Promise<DeviceNorm> => keep(kernels.loadNorm(...(await pair(`${name}.${part}`))));
  return {
    query: await linear('attention.self.query'),
    key: await linear('attention.self.key'),
    value: await linear('attention.self.value'),
    queryGlobal: await linear('attention.self.query_global'),
    keyGlobal: await linear('attention.self.key_global'),
    valueGlobal: await linear('attention.self.value_global'),
    attentionOutput: await linear('attention.output.dense'),
    attentionNorm: await norm('attention.output.LayerNorm'),
    intermediate: await linear('intermediate.dense'),
    output: await linear('output.dense'),
    outputNorm: await norm('output.LayerNorm'),
  };
}

/** Weight and bias of one role, good until the next pair is read. */
export type ReadPair = (name: string) => Promise<[Tensor, Tensor]>;

export function pairReader(checkpoint: Pick<Checkpoint, 'tensor'>): ReadPair {
  const weight = new TensorScratch();
  const bias = new TensorScratch();
  return async name => [
    await checkpoint.tensor(`${name}.weight`, weight),
    await checkpoint.tensor(`${name}.bias`, bias),
  ];
}

async function loadHead(
  kernels: Kernels,
  checkpoint: Checkpoint,
  tables: EmbeddingTables,
  { linear, norm, keep }: Loaders,
): Promise<HeadWeights> {
  const { head, tieWordEmbeddings }: LongformerConfig = checkpoint.config;
  switch (head) {
    case 'none':
      return { head, pooler: checkpoint.has('pooler.dense.weight') ? await linear('pooler.dense') : null };
    case 'maskedLm': {
      const decoder = tieWordEmbeddings ? tables.words : await checkpoint.tensor('lm_head.decoder.weight');
      return {
        head,
        dense: await linear('lm_head.dense'),
        norm: await norm('lm_head.layer_norm'),
        decoder: keep(kernels.loadLinear(decoder, await checkpoint.tensor('lm_head.bias'))),
      };
    }
    case 'sequenceClassification':
      return { head, dense: await linear('classifier.dense'), classifier: await linear('classifier.out_proj') };
    case 'questionAnswering':
      return { head, classifier: await linear('qa_outputs') };
    case 'tokenClassification':
      return { head, classifier: await linear('classifier') };
    case 'multipleChoice':
      return { head, pooler: await linear('pooler.dense'), classifier: await linear('classifier') };
  }
}
