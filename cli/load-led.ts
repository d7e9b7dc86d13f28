/** An LED with its generation settings, from a directory, the hub or an address; inside a worker. */
import { createDevice } from '../api/devices.ts';
import { openSource } from '../api/model-source.ts';
import type { GenerationOptions } from '../contract/generation.ts';
import type { LedModel } from '../contract/model.ts';
import { readGenerationSettings } from '../runtime/checkpoint/generation-settings.ts';
import { type CheckpointFiles, openLedCheckpointFiles } from '../runtime/checkpoint/open.ts';
import type { GenerationProgress } from '../runtime/generation/generate.ts';
import type { ModelFlags } from './text-options.ts';

type Report = (done: number, label: string) => void;

export interface LoadedLed {
  readonly model: LedModel;
  readonly settings: GenerationOptions;
  /** The tokenizer lies among them, where one is needed. */
  readonly files: CheckpointFiles;
  /** Gives back memory and threads. */
  dispose(): void;
}

/** task: as loadPretrainedLed. @throws CheckpointError, ConfigError, UnsupportedError, IoError, MemoryError */
export async function loadLed(flags: ModelFlags, report: Report, task?: string): Promise<LoadedLed> {
  const { model: source, backend, threads, revision, cacheDir, offline } = flags;
  const files = await openSource(source, {
    ...(revision === undefined ? {} : { revision }),
    ...(cacheDir === undefined ? {} : { cacheDir }),
    ...(offline ? { localFilesOnly: true } : {}),
    onFile: ({ status, file, progress: percent = 0 }) => {
      if (status === 'progress') report(percent / 100, file);
    },
  });
  const settings = await readGenerationSettings(files, task);
  const checkpoint = await openLedCheckpointFiles(files, { head: 'conditionalGeneration' });
  try {
    const device = await createDevice(backend, { threads });
    try {
      const model = await device.loadLed(checkpoint, { onProgress: done => report(done, 'loading weights') });
      return { model, settings, files, dispose: () => device.dispose() };
    } catch (error) {
      device.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}

/** Progress of generation in words. */
export function tellGeneration(report: Report): (progress: GenerationProgress) => void {
  return ({ stage, done, length }) =>
    report(done, stage === 'encoding' ? 'reading the source' : `writing, ${length} tokens`);
}

/** What a worker needs of the flags. */
export function modelFlagsOf({ model, backend, threads, revision, cacheDir, offline }: ModelFlags): ModelFlags {
  return { model, backend, threads, revision, cacheDir, offline };
}
