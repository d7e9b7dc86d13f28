/**
 * Hugging Face's batch around an LED: [batch, n] sources and [batch, u] targets in, [batch, …] tensors out.
 *
 * Read before: batch.ts.
 */
import type { LedConfig } from '../contract/config.ts';
import { ShapeError, ValueRangeError } from '../contract/errors.ts';
import type { EncoderInputs, LedInputs, LedModel, LedOutputs } from '../contract/model.ts';
import type { Tensor } from '../contract/tensor.ts';
import { AttentionLayout, type BatchOptions, type TensorSink } from './batch.ts';
import type { IntegerTensor } from './checkpoint/safetensors.ts';
import { type GenerateOptions, generate } from './generation/generate.ts';
import { mergeOptions } from './generation/options.ts';

/** The inputs of HF's LED forward by HF's names. Sources [batch, n], targets [batch, u]; embeds one axis (C) more. */
export interface LedBatchInputs {
  readonly input_ids?: IntegerTensor;
  readonly inputs_embeds?: Tensor;
  readonly attention_mask?: IntegerTensor;
  readonly global_attention_mask?: IntegerTensor;
  readonly decoder_input_ids?: IntegerTensor;
  readonly decoder_inputs_embeds?: Tensor;
  readonly decoder_attention_mask?: IntegerTensor;
}

const where = 'led.forward';
const emptyHint = 'an empty text still has the special tokens around it, and a target its start token.';

/** Ids or embeddings of one side with the masks that belong to them. */
interface Side {
  readonly ids: IntegerTensor | undefined;
  readonly embeds: Tensor | undefined;
  /** (batch, length) */
  readonly axes: readonly [number, number];
}

/**
 * The rows of a batch as documents.
 *
 * @throws ShapeError when an input has the wrong number of axes, or axes unlike those of its side; ValueRangeError without a source
 */
export function splitLedBatch(inputs: LedBatchInputs): LedInputs[] {
  const source = sideOf(inputs, 'input_ids', 'inputs_embeds');
  if (!source) {
    throw new ValueRangeError({
      where,
      name: 'input_ids',
      expected: 'exactly one of input_ids and inputs_embeds',
      got: 'neither',
    });
  }
  const target = sideOf(inputs, 'decoder_input_ids', 'decoder_inputs_embeds');
  const [batch] = source.axes;
  if (target && target.axes[0] !== batch) {
    const name = inputs.decoder_input_ids ? 'decoder_input_ids' : 'decoder_inputs_embeds';
    throw new ShapeError({ where, name, expected: `${batch} rows, as the source`, got: String(target.axes[0]) });
  }
  expectAxes('attention_mask', inputs.attention_mask, source.axes);
  expectAxes('global_attention_mask', inputs.global_attention_mask, source.axes);
  expectAxes('decoder_attention_mask', inputs.decoder_attention_mask, target?.axes ?? source.axes);
  return Array.from({ length: batch }, (_, row) => {
    const document = {
      inputIds: rowOf(inputs.input_ids, row),
      inputsEmbeds: embedsOf(inputs.inputs_embeds, row),
      attentionMask: rowOf(inputs.attention_mask, row),
      globalAttentionMask: rowOf(inputs.global_attention_mask, row),
      decoderInputIds: rowOf(inputs.decoder_input_ids, row),
      decoderInputsEmbeds: embedsOf(inputs.decoder_inputs_embeds, row),
      decoderAttentionMask: rowOf(inputs.decoder_attention_mask, row),
    };
    return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined)) as LedInputs;
  });
}

function sideOf(
  inputs: LedBatchInputs,
  idsName: 'input_ids' | 'decoder_input_ids',
  embedsName: 'inputs_embeds' | 'decoder_inputs_embeds',
): Side | undefined {
  const ids = inputs[idsName];
  const embeds = inputs[embedsName];
  if (ids && embeds) {
    throw new ValueRangeError({
      where,
      name: idsName,
      expected: `exactly one of ${idsName} and ${embedsName}`,
      got: 'both',
    });
  }
  if (!ids && !embeds) return undefined;
  const axes = ids?.shape ?? embeds!.shape.slice(0, -1);
  if (axes.length !== 2 || axes.includes(0)) {
    throw new ShapeError({
      where,
      name: ids ? idsName : embedsName,
      expected: `shape (batch, n${ids ? '' : ', C'}) without empty axes`,
      got: `(${(ids ?? embeds)!.shape.join(', ')})`,
      ...(axes.includes(0) && { hint: emptyHint }),
    });
  }
  return { ids, embeds, axes: axes as [number, number] };
}

function expectAxes(name: string, tensor: IntegerTensor | undefined, axes: readonly number[]): void {
  if (!tensor || tensor.shape.join() === axes.join()) return;
  const got = `(${tensor.shape.join(', ')})`;
  throw new ShapeError({ where, name, expected: `shape (${axes.join(', ')})`, got });
}

function rowOf(tensor: IntegerTensor | undefined, row: number): Int32Array | undefined {
  const length = tensor?.shape[1] ?? 0;
  return tensor?.data.subarray(row * length, (row + 1) * length);
}

function embedsOf(tensor: Tensor | undefined, row: number): Tensor | undefined {
  if (!tensor) return undefined;
  const [, length, features] = tensor.shape as [number, number, number];
  const elements = length * features;
  return { shape: [length, features], data: tensor.data.subarray(row * elements, (row + 1) * elements) };
}

/**
 * Runs a batch and hands every output tensor to the sink under HF's name, in HF's layout. `last_hidden_state` is the decoder's.
 *
 * @throws ShapeError, ValueRangeError for bad inputs, before the sink's `begin`; AbortedError, MemoryError
 */
export async function forwardLedBatch(
  model: LedModel,
  inputs: LedBatchInputs,
  sink: TensorSink,
  { want = 'head', signal, onProgress }: BatchOptions = {},
): Promise<void> {
  const documents = splitLedBatch(inputs);
  model.expectInputs(documents);
  const { config } = model;
  const layout = new AttentionLayout({ heads: config.encoderHeads, oneSidedWindow: config.oneSidedWindow }, documents);
  const rows = documents.length;
  const length = (inputs.input_ids ?? inputs.inputs_embeds)!.shape[1]!;
  const target = (inputs.decoder_input_ids ?? inputs.decoder_inputs_embeds)?.shape[1] ?? length;
  await sink.begin([
    ...headTensors(config, rows, length, target),
    ...(want === 'all' ? layerTensors(config, layout, rows, length, target) : []),
  ]);
  /** Each document's share of a tensor, one after the other. */
  const write = (name: string, document: number, { data }: Tensor): void | Promise<void> =>
    sink.write(name, document * data.length, data);
  const outputs = await model.forward(documents, {
    signal,
    onProgress,
    want:
      want === 'head'
        ? {}
        : {
            encoderHiddenStates: (document, layer, values) => write(`encoder_hidden_states.${layer}`, document, values),
            async encoderAttentions(document, layer, attentions) {
              const local = layout.localAttentions(attentions, layer);
              await sink.write(`encoder_attentions.${layer}`, document * local.length, local);
              if (layout.globals === 0) return;
              const global = layout.globalAttentions(attentions);
              await sink.write(`encoder_global_attentions.${layer}`, document * global.length, global);
            },
            decoderHiddenStates: (document, layer, values) => write(`decoder_hidden_states.${layer}`, document, values),
            async decoderAttentions(document, layer, { self, cross }) {
              await write(`decoder_attentions.${layer}`, document, self);
              await write(`cross_attentions.${layer}`, document, cross);
            },
          },
  });
  for (const [document, output] of outputs.entries()) {
    for (const [name, tensor] of namedOutputs(output)) await write(name, document, tensor);
  }
}

interface Declared {
  readonly name: string;
  readonly shape: number[];
}

function headTensors(config: LedConfig, rows: number, length: number, target: number): Declared[] {
  const { hiddenSize, vocabSize, labels, head } = config;
  const always = [
    { name: 'last_hidden_state', shape: [rows, target, hiddenSize] },
    { name: 'encoder_last_hidden_state', shape: [rows, length, hiddenSize] },
  ];
  switch (head) {
    case 'none':
      return always;
    case 'conditionalGeneration':
      return [...always, { name: 'logits', shape: [rows, target, vocabSize] }];
    case 'questionAnswering':
      return [...always, ...['start_logits', 'end_logits'].map(name => ({ name, shape: [rows, target] }))];
    case 'sequenceClassification':
      return [...always, { name: 'logits', shape: [rows, labels] }];
  }
}

function layerTensors(
  config: LedConfig,
  layout: AttentionLayout,
  rows: number,
  length: number,
  target: number,
): Declared[] {
  const { hiddenSize, encoderLayers, decoderLayers, decoderHeads: heads } = config;
  const layers = (count: number, tensors: (layer: number) => Declared[]): Declared[] =>
    Array.from({ length: count }, (_, layer) => tensors(layer)).flat();
  const states = (side: string, step: number, positions: number): Declared => ({
    name: `${side}_hidden_states.${step}`,
    shape: [rows, positions, hiddenSize],
  });
  return [
    ...layers(encoderLayers + 1, step => [states('encoder', step, length)]),
    ...layers(decoderLayers + 1, step => [states('decoder', step, target)]),
    ...layers(encoderLayers, layer => layout.attentionTensors(layer, `.${layer}`, 'encoder_')),
    ...layers(decoderLayers, layer => [
      { name: `decoder_attentions.${layer}`, shape: [rows, heads, target, target] },
      { name: `cross_attentions.${layer}`, shape: [rows, heads, target, length] },
    ]),
  ];
}

/** Options of generation for a batch; prompts come as the tensor `decoder_input_ids`. */
export type GenerateBatchOptions = Omit<GenerateOptions, 'decoderInputIds'>;

export interface GeneratedBatch {
  /** (batch * numReturnSequences, longest) Token ids, filled up at the end. HF `sequences`. */
  readonly sequences: IntegerTensor;
  /** (batch * numReturnSequences). Beam search; null otherwise. HF `sequences_scores`. */
  readonly sequencesScores: Tensor | null;
}

/**
 * Generates for a batch as HF's generate does. Subtle: without an attention mask every token counts, padding too; HF guesses a mask from the
 * pad token for decoder-only models only.
 *
 * @throws as splitLedBatch and generate
 */
export async function generateBatch(
  model: LedModel,
  inputs: LedBatchInputs,
  options: GenerateBatchOptions = {},
): Promise<GeneratedBatch> {
  for (const name of ['decoder_inputs_embeds', 'decoder_attention_mask'] as const) {
    if (inputs[name] === undefined) continue;
    const hint = 'a prompt is given as decoder_input_ids, and all of it counts.';
    throw new ValueRangeError({ where: 'generate', name, expected: 'nothing', got: 'a tensor', hint });
  }
  const { config } = model;
  const merged = mergeOptions(options, options.settings);
  const padTokenId = merged.padTokenId ?? config.padTokenId;
  const eosTokenIds = [merged.eosTokenId ?? config.eosTokenId].flat();
  const keepsPadding = (merged.encoderNoRepeatNgramSize ?? 0) > 0; // HF counts n-grams of the padding too
  const rows = splitLedBatch(inputs);
  const documents = rows.map(row => (keepsPadding ? sourceOf(row) : sourceOf(row, lastToken(row))));
  const decoderInputIds = inputs.decoder_input_ids && rows.map(row => row.decoderInputIds!);
  const generated = (await generate(model, documents, { ...options, decoderInputIds })).flat();
  const longest = generated.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const isBeamSearch = generated[0]!.score !== null;
  // HF fills beams with the ending token where padding is token 0.
  const fill = isBeamSearch ? padTokenId || eosTokenIds[0]! : padTokenId;
  const data = new Int32Array(generated.length * longest).fill(fill);
  for (const [row, { ids }] of generated.entries()) data.set(ids, row * longest);
  return {
    sequences: { shape: [generated.length, longest], data },
    sequencesScores: isBeamSearch
      ? { shape: [generated.length], data: Float64Array.from(generated, ({ score }) => score!) }
      : null,
  };
}

/** Tokens up to the last one that is no padding; all of them when everything is. */
function lastToken({ attentionMask, inputIds, inputsEmbeds }: LedInputs): number {
  const length = inputIds?.length ?? inputsEmbeds!.shape[0]!;
  return (attentionMask && attentionMask.lastIndexOf(1) + 1) || length;
}

/** The source of a row, its first `length` tokens. */
function sourceOf(
  { inputIds, inputsEmbeds, attentionMask, globalAttentionMask }: LedInputs,
  length = inputIds?.length ?? inputsEmbeds!.shape[0]!,
): EncoderInputs {
  const document = {
    inputIds: inputIds?.subarray(0, length),
    inputsEmbeds: inputsEmbeds && {
      shape: [length, inputsEmbeds.shape[1]!],
      data: inputsEmbeds.data.subarray(0, length * inputsEmbeds.shape[1]!),
    },
    attentionMask: attentionMask?.subarray(0, length),
    globalAttentionMask: globalAttentionMask?.subarray(0, length),
  };
  return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined)) as EncoderInputs;
}

function namedOutputs(output: LedOutputs): [string, Tensor][] {
  const named: [string, Tensor | undefined][] = [
    ['last_hidden_state', output.decoderLastHiddenState],
    ['encoder_last_hidden_state', output.encoderLastHiddenState],
    ['logits', output.logits],
    ['start_logits', output.startLogits],
    ['end_logits', output.endLogits],
  ];
  return named.filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
}
