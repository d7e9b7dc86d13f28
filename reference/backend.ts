/**
 * The reference as a backend: 7 and 8 behind the outer seam; 9 by way of led-model.ts. Nothing else in this folder waits for anything.
 */
import type { Checkpoint } from '../contract/checkpoint.ts';
import type { LongformerConfig } from '../contract/config.ts';
import { expectEncoderInputs, expectLogitRows } from '../contract/encoder-inputs.ts';
import { AbortedError, CheckpointError } from '../contract/errors.ts';
import type {
  Backend,
  EncoderInputs,
  EncoderOutputs,
  ForwardOptions,
  LoadOptions,
  LongformerModel,
  Want,
} from '../contract/model.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { gatherRows, sliceRows } from './1-operations.ts';
import {
  type EncoderStep,
  encoder,
  encoderWeightNames,
  pooler,
  poolerWeightNames,
  type Weights,
} from './7-longformer.ts';
import {
  automaticGlobalAttentionMask,
  headWeightNames,
  maskedLmLogits,
  multipleChoiceLogit,
  questionAnsweringLogits,
  sequenceClassificationLogits,
  tokenClassificationLogits,
} from './8-heads.ts';
import { loadLed } from './led-model.ts';

/** The float64 reference. Slow on purpose: about 10⁹ multiply-adds a second. */
export function createReferenceBackend(): Backend {
  return { name: 'reference', loadLongformer, loadLed, dispose: () => {} };
}

async function loadLongformer(checkpoint: Checkpoint, options: LoadOptions = {}): Promise<LongformerModel> {
  const { config } = checkpoint;
  const needed = new Set([...encoderWeightNames(config), ...headWeightNames(config)]);
  if (config.head === 'none' && poolerWeightNames.every(name => checkpoint.has(name))) {
    for (const name of poolerWeightNames) needed.add(name);
  }
  const missing = [...needed].filter(name => !checkpoint.has(name));
  if (missing.length > 0) {
    throw new CheckpointError({
      where: 'reference.loadLongformer',
      name: missing[0]!,
      expected: 'to be in the checkpoint',
      got:
        missing.length === 1
          ? 'nothing'
          : `nothing, like ${missing.length - 1} more: ${missing.slice(1, 6).join(', ')}`,
    });
  }
  const tensors = new Map<string, Tensor>();
  for (const name of needed) {
    throwIfAborted('reference.loadLongformer', options.signal);
    tensors.set(name, await checkpoint.tensor(name));
    options.onProgress?.(tensors.size / needed.size);
  }
  return createReferenceModel(
    config,
    name => tensors.get(name)!,
    tensors.has('pooler.dense.weight'),
    () => tensors.clear(),
  );
}

/** A model over weights that are already in memory. `hasPooler` matters for the bare encoder only. */
export function createReferenceModel(
  config: LongformerConfig,
  weights: Weights,
  hasPooler: boolean,
  onDispose: () => void = () => {},
): LongformerModel {
  return {
    config,
    defaultGlobalAttentionMask: inputs => automaticGlobalAttentionMask(inputs, config),
    hasPooler,
    expectInputs(documents) {
      for (const inputs of documents) expectEncoderInputs(inputs, config);
    },
    async forward(documents, options = {}) {
      // All inputs are checked before any is computed: nobody waits minutes for an error in the last document.
      const prepared = documents.map(inputs => {
        expectEncoderInputs(inputs, config);
        const globalAttentionMask = inputs.globalAttentionMask ?? automaticGlobalAttentionMask(inputs, config);
        return { ...inputs, ...(globalAttentionMask && { globalAttentionMask }) };
      });
      expectLogitRows(options.want?.logitRows, documents);
      const outputs: EncoderOutputs[] = [];
      for (const [document, inputs] of prepared.entries()) {
        const lastHiddenState = await runEncoder(document, inputs, documents.length, config, weights, options);
        outputs.push(await headOutputs(document, lastHiddenState, config, weights, hasPooler, options.want ?? {}));
      }
      return outputs;
    },
    dispose: onDispose,
  };
}

async function runEncoder(
  document: number,
  inputs: EncoderInputs,
  documents: number,
  config: LongformerConfig,
  weights: Weights,
  { want, signal, onProgress }: ForwardOptions,
): Promise<Tensor64> {
  let last: EncoderStep | undefined;
  for (const current of encoder(inputs, weights, config)) {
    last = current;
    await want?.hiddenStates?.(document, current.step, current.hiddenStates);
    if (current.attentions) await want?.attentions?.(document, current.step - 1, current.attentions);
    onProgress?.((document + current.step / config.layers) / documents);
    await eventLoopTurn(); // so that an abort can arrive
    throwIfAborted('longformer.forward', signal);
  }
  return last!.hiddenStates;
}

async function headOutputs(
  document: number,
  lastHiddenState: Tensor64,
  config: LongformerConfig,
  weights: Weights,
  hasPooler: boolean,
  want: Want,
): Promise<EncoderOutputs> {
  const flat = ({ data }: Tensor64): Tensor64 => ({ shape: [data.length], data });
  const wanted = (want.lastHiddenState ?? config.head === 'none') ? { lastHiddenState } : {};
  switch (config.head) {
    case 'none':
      return hasPooler ? { ...wanted, poolerOutput: flat(pooler(lastHiddenState, weights)) } : wanted;
    case 'maskedLm': {
      const rows = want.logitRows?.[document];
      const selected = rows ? gatherRows(lastHiddenState, rows) : lastHiddenState;
      if (!want.logits) return { ...wanted, logits: maskedLmLogits(selected, weights, config) };
      for (let first = 0; first < selected.shape[0]!; first += logitBlock) {
        const block = sliceRows(selected, first, Math.min(logitBlock, selected.shape[0]! - first));
        await want.logits(document, first, maskedLmLogits(block, weights, config));
      }
      return wanted;
    }
    case 'sequenceClassification':
      return { ...wanted, logits: flat(sequenceClassificationLogits(lastHiddenState, weights)) };
    case 'questionAnswering':
      return { ...wanted, ...questionAnsweringLogits(lastHiddenState, weights) };
    case 'tokenClassification':
      return { ...wanted, logits: tokenClassificationLogits(lastHiddenState, weights) };
    case 'multipleChoice':
      return { ...wanted, logits: flat(multipleChoiceLogit(pooler(lastHiddenState, weights), weights)) };
  }
}

/** Rows of masked-LM logits handed out at once. */
const logitBlock = 256;

const eventLoopTurn = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 0));

function throwIfAborted(where: string, signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new AbortedError({ where, name: 'signal', expected: 'to finish', got: 'an abort', cause: signal.reason });
}
