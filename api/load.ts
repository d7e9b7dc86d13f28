/** A model source → a model on a device, with its tokenizer; everything is given back together. */
import type { LongformerConfig } from '../contract/config.ts';
import type { GenerationOptions } from '../contract/generation.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { LedModel, LoadOptions, LongformerModel } from '../contract/model.ts';
import type { Layout } from '../runtime/checkpoint/conversions/layout.ts';
import { readGenerationSettings } from '../runtime/checkpoint/generation-settings.ts';
import type { OpenLedOptions, OpenOptions } from '../runtime/checkpoint/open.ts';
import { openCheckpointFiles, openLedCheckpointFiles } from '../runtime/checkpoint/open.ts';
import type { Tokenizer, TokenizerOptions } from '../runtime/tokenizer/index.ts';
import { createDevice, type DeviceOptions } from './devices.ts';
import type { HubOptions } from './hub/hub-options.ts';
import { type ModelSource, openSource, openTokenizer, readPooling } from './model-source.ts';

export interface PretrainedOptions extends HubOptions, DeviceOptions, TokenizerOptions {
  /** wasm (the default), reference, webgpu or gpujs; or kernels of your own, which are disposed of with the model. */
  readonly device?: string | Kernels;
  /** Whose layout the checkpoint has, where its files do not make it clear; an error names this option then. */
  readonly layout?: Layout;
  /** Called with the share of the tensors that are loaded, 0..1. */
  readonly onProgress?: (done: number) => void;
}

/** A loaded model. `await using` gives it back by itself. */
export interface Pretrained<Model> {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  /** Of a sentence encoder: how its 1_Pooling/config.json makes one vector of a text, such as cls or mean. */
  readonly pooling?: string;
  /** Gives back memory and threads. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * accept: looks at the config before weights are read, and throws when it is of no use.
 *
 * @throws CheckpointError, ConfigError, TokenizerError, UnsupportedError, IoError, MemoryError, HubError, AbortedError
 */
export async function loadPretrained(
  source: ModelSource,
  options: PretrainedOptions = {},
  open: OpenOptions = {},
  accept: (config: LongformerConfig) => void = () => {},
): Promise<Pretrained<LongformerModel>> {
  const files = await openSource(source, options);
  const tokenizer = await openTokenizer(files, options);
  const pooling = open.head === 'none' ? await readPooling(files) : undefined;
  const checkpoint = await openCheckpointFiles(files, { layout: options.layout, ...open });
  try {
    accept(checkpoint.config);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
  const loaded = await onDevice(checkpoint, tokenizer, options, (backend, load) =>
    backend.loadLongformer(checkpoint, load),
  );
  return pooling === undefined ? loaded : { ...loaded, pooling };
}

/** An LED with what its files say about generation. */
export interface PretrainedLed extends Pretrained<LedModel> {
  readonly settings: GenerationOptions;
}

/** The same for an LED. task: whose settings count, where config.json has some for it. @throws as loadPretrained */
export async function loadPretrainedLed(
  source: ModelSource,
  options: PretrainedOptions = {},
  open: OpenLedOptions = {},
  task?: string,
): Promise<PretrainedLed> {
  const files = await openSource(source, options);
  const tokenizer = await openTokenizer(files, options);
  // Other heads write nothing: what their files say about it is nobody's concern.
  const writes = (open.head ?? 'conditionalGeneration') === 'conditionalGeneration';
  const settings = writes ? await readGenerationSettings(files, task) : {};
  const checkpoint = await openLedCheckpointFiles(files, { layout: options.layout, ...open });
  const loaded = await onDevice(checkpoint, tokenizer, options, (backend, load) => backend.loadLed(checkpoint, load));
  return { ...loaded, settings };
}

async function onDevice<Model extends { dispose(): void }>(
  checkpoint: { close(): Promise<void> },
  tokenizer: Tokenizer,
  options: PretrainedOptions,
  load: (backend: Awaited<ReturnType<typeof createDevice>>, options: LoadOptions) => Promise<Model>,
): Promise<Pretrained<Model>> {
  const { device = 'wasm', signal, onProgress } = options;
  try {
    const backend = await createDevice(device, options);
    try {
      const model = await load(backend, { signal, onProgress });
      let disposed = false;
      const dispose = async (): Promise<void> => {
        if (disposed) return;
        disposed = true;
        model.dispose();
        backend.dispose();
      };
      return { model, tokenizer, dispose, [Symbol.asyncDispose]: dispose };
    } catch (error) {
      backend.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}
