/** Kernels → Backend: the only thing a new kernel implementation needs to become a whole model. */
import type { Kernels } from '../../contract/kernels.ts';
import type { Backend } from '../../contract/model.ts';
import { createLedModel } from './led-model.ts';
import { loadLedWeights } from './led-weights.ts';
import { createLongformerModel } from './longformer-model.ts';
import { loadWeights } from './weights.ts';

export function createBackend(kernels: Kernels): Backend {
  return {
    name: kernels.name,
    dispose: () => kernels.dispose(),
    async loadLongformer(checkpoint, options = {}) {
      return createLongformerModel(kernels, checkpoint.config, await loadWeights(kernels, checkpoint, options));
    },
    async loadLed(checkpoint, options = {}) {
      return createLedModel(kernels, checkpoint.config, await loadLedWeights(kernels, checkpoint, options));
    },
  };
}
