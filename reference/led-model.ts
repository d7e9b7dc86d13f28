/**
 * The reference as a backend, LED's half: 9 behind the outer seam. Decoding step by step computes the whole target anew each time.
 */
import type { LedCheckpoint } from '../contract/checkpoint.ts';
import type { LedConfig } from '../contract/config.ts';
import {
  AbortedError,
  CheckpointError,
  expectLength,
  expectRange,
  UnsupportedError,
  ValueRangeError,
} from '../contract/errors.ts';
import { expectLedInputs, expectLedSource } from '../contract/led-inputs.ts';
import type {
  Decoding,
  EncodedSource,
  EncoderInputs,
  LedForwardOptions,
  LedInputs,
  LedModel,
  LedOutputs,
  LoadOptions,
} from '../contract/model.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { toFloat64, zeros } from './1-operations.ts';
import type { Weights } from './7-longformer.ts';
import { questionAnsweringLogits } from './8-heads.ts';
import {
  attentionMaskOf,
  type EncodedDocument,
  ledClassificationLogits,
  ledDecoder,
  ledEncoder,
  ledWeightNames,
  targetOfInputs,
  vocabularyLogits,
} from './9-led.ts';
import { ledNextLogits, type NextLogits } from './10-generate.ts';

/** All tensors of an LED, in double precision: decoding reads them once for every token. @throws CheckpointError, AbortedError */
export async function loadLedWeights(
  checkpoint: LedCheckpoint,
  options: LoadOptions = {},
): Promise<Map<string, Tensor>> {
  const where = 'reference.loadLed';
  const { config } = checkpoint;
  const names = ledWeightNames(config);
  const missing = names.filter(name => name !== 'final_logits_bias' && !checkpoint.has(name));
  if (missing.length > 0) {
    throw new CheckpointError({
      where,
      name: missing[0]!,
      expected: 'to be in the checkpoint',
      got:
        missing.length === 1
          ? 'nothing'
          : `nothing, like ${missing.length - 1} more: ${missing.slice(1, 6).join(', ')}`,
    });
  }
  const tensors = new Map<string, Tensor>();
  for (const name of names) {
    throwIfAborted(where, options.signal);
    const isThere = checkpoint.has(name);
    tensors.set(name, isThere ? toFloat64(await checkpoint.tensor(name)) : zeros(1, config.vocabSize));
    options.onProgress?.(tensors.size / names.length);
  }
  return tensors;
}

export async function loadLed(checkpoint: LedCheckpoint, options: LoadOptions = {}): Promise<LedModel> {
  const tensors = await loadLedWeights(checkpoint, options);
  return createReferenceLedModel(
    checkpoint.config,
    name => tensors.get(name)!,
    () => tensors.clear(),
  );
}

/** A model over weights that are already in memory. */
export function createReferenceLedModel(
  config: LedConfig,
  weights: Weights,
  onDispose: () => void = () => {},
): LedModel {
  const expectInputs = (documents: readonly LedInputs[]): void => {
    for (const inputs of documents) expectLedInputs(inputs, config);
  };
  const encoded = new WeakMap<EncodedSource, readonly EncodedDocument[]>();
  return {
    config,
    expectInputs,
    async forward(documents, options = {}) {
      // All inputs are checked before any is computed: nobody waits minutes for an error in the last document.
      expectInputs(documents);
      const outputs: LedOutputs[] = [];
      for (const [document, inputs] of documents.entries()) {
        outputs.push(await forwardDocument(document, inputs, documents.length, config, weights, options));
      }
      return outputs;
    },
    async encode(documents, options = {}) {
      for (const inputs of documents) expectLedSource(inputs, config);
      const read: EncodedDocument[] = [];
      for (const [document, inputs] of documents.entries()) {
        const onStep = stepper(
          'led.encode',
          options,
          document * config.encoderLayers,
          documents.length * config.encoderLayers,
        );
        read.push(await readDocument(document, inputs, config, weights, {}, onStep));
      }
      const source = { lengths: read.map(each => each.hiddenStates.shape[0]!), dispose: () => encoded.delete(source) };
      encoded.set(source, read);
      return source;
    },
    startDecoding(source, groupDocuments, maxTargetLength) {
      const documents = encoded.get(source);
      expectDecoding(config, source, documents, groupDocuments, maxTargetLength);
      const next = documents!.map(each => ledNextLogits(each, weights, config));
      return new WholeTargetDecoding(
        Array.from(groupDocuments, document => next[document]!),
        groupDocuments,
        maxTargetLength,
        config,
      );
    },
    dispose: onDispose,
  };
}

type OnStep = (step: number) => Promise<void>;

/** Tells how far a call is, lets an abort arrive, and obeys it. `first`: layers that were done before. */
function stepper(
  where: string,
  { signal, onProgress }: Pick<LedForwardOptions, 'signal' | 'onProgress'>,
  first: number,
  all: number,
): OnStep {
  return async step => {
    onProgress?.((first + step) / all);
    await new Promise(resolve => setTimeout(resolve, 0));
    throwIfAborted(where, signal);
  };
}

async function readDocument(
  document: number,
  inputs: EncoderInputs,
  config: LedConfig,
  weights: Weights,
  want: NonNullable<LedForwardOptions['want']>,
  onStep: OnStep,
): Promise<EncodedDocument> {
  let last: Tensor64 | undefined;
  for (const { step, hiddenStates, attentions } of ledEncoder(inputs, weights, config)) {
    last = hiddenStates;
    await want.encoderHiddenStates?.(document, step, hiddenStates);
    if (attentions) await want.encoderAttentions?.(document, step - 1, attentions);
    await onStep(step);
  }
  return { hiddenStates: last!, attentionMask: attentionMaskOf(inputs, last!.shape[0]!) };
}

async function forwardDocument(
  document: number,
  inputs: LedInputs,
  documents: number,
  config: LedConfig,
  weights: Weights,
  options: LedForwardOptions,
): Promise<LedOutputs> {
  const { encoderLayers, decoderLayers } = config;
  const { want = {} } = options;
  const layers = encoderLayers + decoderLayers;
  const onStep = stepper('led.forward', options, document * layers, documents * layers);
  const source = await readDocument(document, inputs, config, weights, want, onStep);
  const target = targetOfInputs(inputs, weights, config);
  let last: Tensor64 | undefined;
  for (const { step, hiddenStates, attentions } of ledDecoder(target, source, weights, config)) {
    last = hiddenStates;
    await want.decoderHiddenStates?.(document, step, hiddenStates);
    if (attentions) await want.decoderAttentions?.(document, step - 1, attentions);
    await onStep(encoderLayers + step);
  }
  return {
    encoderLastHiddenState: source.hiddenStates,
    decoderLastHiddenState: last!,
    ...headOutputs(last!, inputs, config, weights),
  };
}

function headOutputs(
  hiddenStates: Tensor64,
  { inputIds }: LedInputs,
  config: LedConfig,
  weights: Weights,
): Pick<LedOutputs, 'logits' | 'startLogits' | 'endLogits'> {
  switch (config.head) {
    case 'none':
      return {};
    case 'conditionalGeneration':
      return { logits: vocabularyLogits(hiddenStates, weights, config) };
    case 'questionAnswering':
      return questionAnsweringLogits(hiddenStates, weights);
    case 'sequenceClassification': {
      const { data } = ledClassificationLogits(hiddenStates, inputIds!, weights, config);
      return { logits: { shape: [data.length], data } };
    }
  }
}

/** Groups as lists of ids. What a cache would remember is computed again in every step, so that there is nothing to get wrong. */
class WholeTargetDecoding implements Decoding {
  readonly groups: number;
  readonly #next: readonly NextLogits[];
  readonly #documents: Int32Array;
  readonly #maxTargetLength: number;
  readonly #config: LedConfig;
  #targets: number[][];

  constructor(next: readonly NextLogits[], documents: Int32Array, maxTargetLength: number, config: LedConfig) {
    this.groups = next.length;
    this.#next = next;
    this.#documents = documents.slice();
    this.#maxTargetLength = maxTargetLength;
    this.#config = config;
    this.#targets = next.map(() => []);
  }

  get length(): number {
    return this.#targets[0]!.length;
  }

  async prefill(tokenIds: Int32Array): Promise<Float64Array> {
    const n = tokenIds.length / this.groups;
    if (this.length > 0) fail('prefill', 'to be the first call', `a past of ${this.length}`);
    if (n === 0 || !Number.isInteger(n)) {
      fail('tokenIds', `one or more tokens for each of ${this.groups} groups`, String(tokenIds.length));
    }
    return this.#feed(tokenIds, n);
  }

  async step(tokenIds: Int32Array, parents: Int32Array | null): Promise<Float64Array> {
    expectLength(where, 'tokenIds', tokenIds, this.groups);
    if (parents) {
      expectLength(where, 'parents', parents, this.groups);
      expectRange(where, 'parents', parents, 0, this.groups - 1);
      const stranger = parents.findIndex((parent, group) => this.#documents[parent] !== this.#documents[group]);
      if (stranger >= 0) {
        const document = this.#documents[stranger];
        fail(`parents[${stranger}]`, `a group that reads document ${document}`, String(parents[stranger]));
      }
      this.#targets = Array.from(parents, parent => [...this.#targets[parent]!]);
    }
    return this.#feed(tokenIds, 1);
  }

  dispose(): void {}

  /** tokenIds: (groups, n) behind the targets. Returns (groups, V). */
  #feed(tokenIds: Int32Array, n: number): Float64Array {
    const { vocabSize } = this.#config;
    expectRange(where, 'tokenIds', tokenIds, 0, vocabSize - 1);
    if (this.length + n > this.#maxTargetLength) {
      fail('tokenIds', `at most ${this.#maxTargetLength} tokens for each group`, String(this.length + n));
    }
    const logits = zeros(this.groups, vocabSize);
    for (const [group, target] of this.#targets.entries()) {
      target.push(...tokenIds.subarray(group * n, (group + 1) * n));
      logits.data.set(this.#next[group]!(target), group * vocabSize);
    }
    return logits.data;
  }
}

const where = 'led.decoding';

function expectDecoding(
  config: LedConfig,
  source: EncodedSource,
  documents: readonly EncodedDocument[] | undefined,
  groupDocuments: Int32Array,
  maxTargetLength: number,
): void {
  if (config.head !== 'conditionalGeneration') {
    const hint = 'load the checkpoint as LEDForConditionalGeneration.';
    throw new UnsupportedError({ where, name: 'head', expected: 'conditionalGeneration', got: config.head, hint });
  }
  if (!documents) fail('source', 'one that this model encoded and that is alive', 'another');
  if (groupDocuments.length === 0) fail('groupDocuments', 'at least one group', 'none');
  expectRange(where, 'groupDocuments', groupDocuments, 0, source.lengths.length - 1);
  const most = config.maxDecoderPositionEmbeddings;
  if (Number.isInteger(maxTargetLength) && maxTargetLength >= 1 && maxTargetLength <= most) return;
  fail('maxTargetLength', `an integer in 1..${most} (max_decoder_position_embeddings)`, String(maxTargetLength));
}

function fail(name: string, expected: string, got: string): never {
  throw new ValueRangeError({ where, name, expected, got });
}

function throwIfAborted(place: string, signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new AbortedError({
    where: place,
    name: 'signal',
    expected: 'to finish',
    got: 'an abort',
    cause: signal.reason,
  });
}
