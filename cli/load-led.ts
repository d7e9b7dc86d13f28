/** An LED with its generation settings, from a directory. */
import type { GenerationOptions } from '../contract/generation.ts';
import type { Backend, LedModel } from '../contract/model.ts';
import { readGenerationSettings } from '../runtime/checkpoint/generation-settings.ts';
import { openLedCheckpointFiles } from '../runtime/checkpoint/open.ts';
import { openDirectory } from '../runtime/checkpoint/open-node.ts';
import type { GenerationProgress } from '../runtime/generation/generate.ts';
import { createBackendNamed } from './backends.ts';

export interface LoadedLed {
  readonly backend: Backend;
  readonly model: LedModel;
  readonly settings: GenerationOptions;
}

/** backend.dispose() gives everything back. @throws as openLedCheckpoint and the backend */
export async function loadLed(
  directory: string,
  backendName: string,
  threads: number,
  report: (done: number, label: string) => void,
): Promise<LoadedLed> {
  const files = await openDirectory(directory);
  const settings = await readGenerationSettings(files);
  const checkpoint = await openLedCheckpointFiles(files);
  try {
    const backend = await createBackendNamed(backendName, { threads });
    try {
      const model = await backend.loadLed(checkpoint, { onProgress: done => report(done, 'loading weights') });
      return { backend, model, settings };
    } catch (error) {
      backend.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}

/** Progress of generation in words. */
export function tellGeneration(report: (done: number, label: string) => void): (progress: GenerationProgress) => void {
  return ({ stage, done, length }) =>
    report(done, stage === 'encoding' ? 'reading the source' : `writing, ${length} tokens`);
}
