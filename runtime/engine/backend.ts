/** Kernels → Backend: the only thing a new kernel implementation needs to become a whole model. */
import { UnsupportedError } from '../../contract/errors.ts';
import type { Kernels } from '../../contract/kernels.ts';
import type { Backend } from '../../contract/model.ts';
import { createLongformerModel } from './longformer-model.ts';
import { loadWeights } from './weights.ts';

export function createBackend(kernels: Kernels): Backend {
  return {
    name: kernels.name,
    dispose: () => kernels.dispose(),
    async loadLed() {
      throw new UnsupportedError({ where: 'engine', name: 'model', expected: 'a Longformer', got: 'led' });
    },
    async loadLongformer(checkpoint, options = {}) {
      return createLongformerModel(kernels, checkpoint.config, await loadWeights(kernels, checkpoint, options));
    },
  };
}
