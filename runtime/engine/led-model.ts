/**
 * LED over kernels, as the outer seam wants it: forward without a cache, or encode once and decode step by step.
 *
 * Read before: led-forward.ts, led-decoding.ts. Read next: backend.ts.
 */
import type { LedConfig } from '../../contract/config.ts';
import { UnsupportedError, ValueRangeError } from '../../contract/errors.ts';
import type { Kernels } from '../../contract/kernels.ts';
import { expectLedInputs, expectLedSource } from '../../contract/led-inputs.ts';
import type { EncodedSource, LedModel } from '../../contract/model.ts';
import { startDecoding } from './led-decoding.ts';
import { type ReadSources, readSources } from './led-encoder.ts';
import { forwardLed } from './led-forward.ts';
import type { LedWeights } from './led-weights.ts';

/** What an EncodedSource of this model stands for. */
class EngineSource implements EncodedSource {
  readonly lengths: readonly number[];
  readonly #kernels: Kernels;
  #sources: ReadSources | null;

  constructor(kernels: Kernels, sources: ReadSources) {
    this.lengths = sources.lengths;
    this.#kernels = kernels;
    this.#sources = sources;
  }

  /** @throws ValueRangeError after dispose, or for another model's kernels */
  sourcesFor(kernels: Kernels): ReadSources {
    if (this.#sources && this.#kernels === kernels) return this.#sources;
    const got = this.#sources ? 'one of another backend' : 'one that was disposed of';
    throw new ValueRangeError({ where: 'led.startDecoding', name: 'source', expected: 'one that is alive', got });
  }

  dispose(): void {
    if (this.#sources) this.#kernels.free(...this.#sources.handles);
    this.#sources = null;
  }
}

export function createLedModel(kernels: Kernels, config: LedConfig, weights: LedWeights): LedModel {
  const { headWeights } = weights;
  return {
    config,
    expectInputs(documents) {
      for (const inputs of documents) expectLedInputs(inputs, config);
    },
    async forward(documents, options = {}) {
      for (const inputs of documents) expectLedInputs(inputs, config);
      return documents.length === 0 ? [] : await forwardLed(kernels, config, weights, documents, options);
    },
    async encode(documents, options = {}) {
      for (const inputs of documents) expectLedSource(inputs, config);
      if (documents.length === 0) {
        throw new ValueRangeError({
          where: 'led.encode',
          name: 'documents',
          expected: 'at least one document',
          got: 'none',
        });
      }
      const sources = await readSources(kernels, config, weights, documents, { where: 'led.encode', ...options });
      return new EngineSource(kernels, sources);
    },
    startDecoding(source, groupDocuments, maxTargetLength) {
      if (headWeights.head !== 'conditionalGeneration') {
        throw new UnsupportedError({
          where: 'led.startDecoding',
          name: 'head',
          expected: 'conditionalGeneration',
          got: headWeights.head,
          hint: 'open the checkpoint of LEDForConditionalGeneration, or another one with the option `head`.',
        });
      }
      if (!(source instanceof EngineSource)) {
        throw new ValueRangeError({
          where: 'led.startDecoding',
          name: 'source',
          expected: "what this model's encode returned",
          got: 'something else',
        });
      }
      const sources = source.sourcesFor(kernels);
      const { vocabulary } = headWeights;
      return startDecoding(kernels, config, weights, vocabulary, sources, groupDocuments, maxTargetLength);
    },
    dispose: () => kernels.free(...weights.handles),
  };
}
