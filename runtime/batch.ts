/**
 * Hugging Face's batch around models that take documents: [batch, n] tensors in, [batch, …] tensors out.
 *
 * The model computes one document after the other. What depends on the batch in HF's outputs is put back here: columns for
 * the largest number of global tokens of any row, and the padded length and uniform empty slots of `global_attentions`.
 */
import type { LongformerConfig } from '../contract/config.ts';
import { sequenceLengthOf } from '../contract/encoder-inputs.ts';
import { ShapeError, ValueRangeError } from '../contract/errors.ts';
import type { EncoderInputs, EncoderOutputs, LayerAttentions, LongformerModel } from '../contract/model.ts';
import type { Tensor } from '../contract/tensor.ts';
import type { IntegerTensor } from './checkpoint/safetensors.ts';

/** The inputs of HF's forward by HF's names. [batch, n]; multiple choice [batch, choices, n]; embeds one axis (C) more. */
export interface BatchInputs {
  readonly input_ids?: IntegerTensor;
  readonly inputs_embeds?: Tensor;
  readonly attention_mask?: IntegerTensor;
  readonly global_attention_mask?: IntegerTensor;
  readonly token_type_ids?: IntegerTensor;
  readonly position_ids?: IntegerTensor;
}

/** Takes the tensors of a batch, in any order and in pieces: a file being written, or memory. */
export interface TensorSink {
  /** Called once, with every tensor that will come. */
  begin(tensors: readonly { readonly name: string; readonly shape: readonly number[] }[]): void | Promise<void>;
  write(name: string, elementOffset: number, values: Float32Array | Float64Array): void | Promise<void>;
}

export interface BatchOptions {
  /** 'head': the head's outputs and last_hidden_state. 'all': hidden states and attentions of every layer too. */
  readonly want?: 'head' | 'all';
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

const integerNames = [
  'input_ids',
  'attention_mask',
  'global_attention_mask',
  'token_type_ids',
  'position_ids',
] as const;

/**
 * The rows of a batch as documents. Also returns the leading axes, [batch] or [batch, choices].
 *
 * @throws ShapeError when an input has the wrong number of axes, or axes unlike those of the ids.
 */
export function splitBatch(
  inputs: BatchInputs,
  config: LongformerConfig,
): { documents: EncoderInputs[]; axes: number[] } {
  const where = 'longformer.forward';
  const axisNames = config.head === 'multipleChoice' ? '(batch, choices, n)' : '(batch, n)';
  const axisCount = config.head === 'multipleChoice' ? 3 : 2;
  const { input_ids, inputs_embeds } = inputs;
  if ((input_ids === undefined) === (inputs_embeds === undefined)) {
    throw new ValueRangeError({
      where,
      name: 'input_ids',
      expected: 'exactly one of input_ids and inputs_embeds',
      got: input_ids ? 'both' : 'neither',
    });
  }
  const lead = input_ids?.shape ?? inputs_embeds!.shape.slice(0, -1);
  const name = input_ids ? 'input_ids' : 'inputs_embeds';
  if (lead.length !== axisCount || lead.some(extent => extent === 0)) {
    throw new ShapeError({
      where,
      name,
      expected: `shape ${axisNames} without empty axes`,
      got: `(${lead.join(', ')})`,
    });
  }
  const n = lead.at(-1)!;
  for (const other of integerNames) {
    const tensor = inputs[other];
    if (tensor && tensor.shape.join() !== lead.join()) {
      throw new ShapeError({
        where,
        name: other,
        expected: `shape (${lead.join(', ')})`,
        got: `(${tensor.shape.join(', ')})`,
      });
    }
  }
  const axes = lead.slice(0, -1);
  const rows = axes.reduce((product, extent) => product * extent, 1);
  const documents = Array.from({ length: rows }, (_, row): EncoderInputs => {
    const slice = (tensor: IntegerTensor | undefined): Int32Array | undefined =>
      tensor?.data.subarray(row * n, (row + 1) * n);
    const features = inputs_embeds?.shape.at(-1) ?? 0;
    const embeds = inputs_embeds && {
      shape: [n, features],
      data: inputs_embeds.data.subarray(row * n * features, (row + 1) * n * features),
    };
    const document = {
      inputIds: slice(input_ids),
      inputsEmbeds: embeds,
      attentionMask: slice(inputs.attention_mask),
      globalAttentionMask: slice(inputs.global_attention_mask),
      tokenTypeIds: slice(inputs.token_type_ids),
      positionIds: slice(inputs.position_ids),
    };
    return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined)) as EncoderInputs;
  });
  return { documents, axes };
}

/**
 * Runs a batch and hands every output tensor to the sink under HF's name, in HF's layout.
 *
 * @throws ShapeError, ValueRangeError for bad inputs, before the sink's `begin`; AbortedError
 */
export async function forwardBatch(
  model: LongformerModel,
  inputs: BatchInputs,
  sink: TensorSink,
  options: BatchOptions = {},
): Promise<void> {
  const { config } = model;
  const { documents: given, axes } = splitBatch(inputs, config);
  const documents = given.map(document => {
    const globalAttentionMask = document.globalAttentionMask ?? model.defaultGlobalAttentionMask(document);
    return globalAttentionMask ? { ...document, globalAttentionMask } : document;
  });
  model.expectInputs(documents);
  const layout = new BatchLayout(config, documents, model.hasPooler, axes);
  await sink.begin(layout.tensors(options.want ?? 'head'));
  const all = options.want === 'all';
  const outputs = await model.forward(documents, {
    signal: options.signal,
    onProgress: options.onProgress,
    want: {
      lastHiddenState: true,
      ...(config.head === 'maskedLm' && {
        logits: (document, firstRow, { data }) => {
          const row = document * sequenceLengthOf(documents[0]!) + firstRow;
          return sink.write('logits', row * config.vocabSize, data);
        },
      }),
      ...(all && {
        hiddenStates: (document, layer, { data }) => sink.write(`hidden_states.${layer}`, document * data.length, data),
        attentions: async (document, layer, attentions) => {
          const local = layout.localAttentions(attentions, layer);
          await sink.write(`attentions.${layer}`, document * local.length, local);
          if (layout.globals === 0) return;
          const global = layout.globalAttentions(attentions);
          await sink.write(`global_attentions.${layer}`, document * global.length, global);
        },
      }),
    },
  });
  for (const [document, output] of outputs.entries()) {
    for (const [name, { data }] of namedOutputs(output)) await sink.write(name, document * data.length, data);
  }
}

/** What the shape of an encoder's attentions depends on, Longformer's or LED's. */
export interface AttentionShape {
  readonly heads: number;
  readonly oneSidedWindow: readonly number[];
}

/** Attentions of an encoder in a batch: their shapes depend on all its rows. Source: spec A.8; HF LongformerEncoder.forward. */
export class AttentionLayout {
  /** x: the largest number of global tokens in any row. */
  readonly globals: number;
  protected readonly rows: number;
  protected readonly length: number;
  readonly #shape: AttentionShape;
  readonly #paddedLength: number;

  constructor(shape: AttentionShape, documents: readonly EncoderInputs[]) {
    this.#shape = shape;
    this.rows = documents.length;
    this.length = sequenceLengthOf(documents[0]!);
    const window = 2 * Math.max(...shape.oneSidedWindow);
    this.#paddedLength = Math.ceil(this.length / window) * window; // HF pads to the largest window, and it shows here
    this.globals = Math.max(...documents.map(countGlobals));
  }

  /** `attentions` and, when some token of the batch is global, `global_attentions` of one layer. */
  attentionTensors(layer: number, suffix: string, prefix = ''): { name: string; shape: number[] }[] {
    const { heads, oneSidedWindow } = this.#shape;
    const columns = this.globals + 2 * oneSidedWindow[layer]! + 1;
    const local = { name: `${prefix}attentions${suffix}`, shape: [this.rows, heads, this.length, columns] };
    const global = {
      name: `${prefix}global_attentions${suffix}`,
      shape: [this.rows, heads, this.#paddedLength, this.globals],
    };
    return this.globals === 0 ? [local] : [local, global];
  }

  /** (H, T, g + columns) → (H, T, x + columns): empty slots, all 0, between the row's own global keys and the band. */
  localAttentions({ local }: LayerAttentions, layer: number): Float64Array {
    const [heads, length, width] = local.shape as [number, number, number];
    const own = width - (2 * this.#shape.oneSidedWindow[layer]! + 1);
    const missing = this.globals - own;
    const output = new Float64Array(heads * length * (width + missing));
    for (let row = 0; row < heads * length; row++) {
      const from = row * width;
      const to = row * (width + missing);
      output.set(local.data.subarray(from, from + own), to);
      output.set(local.data.subarray(from + own, from + width), to + own + missing);
    }
    return output;
  }

  /** (H, g, T) → (H, padded T, x): axes swapped, padding rows 0, and empty slots uniform over the padded length. */
  globalAttentions({ global }: LayerAttentions): Float64Array {
    const { heads } = this.#shape;
    const own = global?.shape[1] ?? 0;
    const padded = this.#paddedLength;
    const output = new Float64Array(heads * padded * this.globals);
    for (let head = 0; head < heads; head++) {
      for (let slot = 0; slot < this.globals; slot++) {
        for (let t = 0; t < padded; t++) {
          const inside = t < this.length;
          const real = inside && slot < own ? global!.data[(head * own + slot) * this.length + t]! : 0;
          output[(head * padded + t) * this.globals + slot] = slot < own ? real : 1 / padded;
        }
      }
    }
    return output;
  }
}

/** All outputs of a Longformer for a batch. */
export class BatchLayout extends AttentionLayout {
  readonly #config: LongformerConfig;
  readonly #axes: readonly number[];
  readonly #hasPooler: boolean;

  constructor(
    config: LongformerConfig,
    documents: readonly EncoderInputs[],
    hasPooler: boolean,
    axes: readonly number[],
  ) {
    super(config, documents);
    this.#config = config;
    this.#axes = axes;
    this.#hasPooler = hasPooler;
  }

  tensors(want: 'head' | 'all'): { name: string; shape: number[] }[] {
    const { hiddenSize, layers } = this.#config;
    const rows = this.rows;
    const n = this.length;
    const tensors = this.#headTensors();
    if (want === 'head') return tensors;
    for (let step = 0; step <= layers; step++)
      tensors.push({ name: `hidden_states.${step}`, shape: [rows, n, hiddenSize] });
    for (let layer = 0; layer < layers; layer++) tensors.push(...this.attentionTensors(layer, `.${layer}`));
    return tensors;
  }

  #headTensors(): { name: string; shape: number[] }[] {
    const { head, hiddenSize, vocabSize, labels } = this.#config;
    const rows = this.rows;
    const n = this.length;
    const last = { name: 'last_hidden_state', shape: [rows, n, hiddenSize] };
    const pooled = { name: 'pooler_output', shape: [rows, hiddenSize] };
    switch (head) {
      case 'none':
        return this.#hasPooler ? [last, pooled] : [last];
      case 'maskedLm':
        return [last, { name: 'logits', shape: [rows, n, vocabSize] }];
      case 'sequenceClassification':
        return [last, { name: 'logits', shape: [rows, labels] }];
      case 'tokenClassification':
        return [last, { name: 'logits', shape: [rows, n, labels] }];
      case 'questionAnswering':
        return [last, { name: 'start_logits', shape: [rows, n] }, { name: 'end_logits', shape: [rows, n] }];
      case 'multipleChoice':
        return [last, { name: 'logits', shape: [...this.#axes] }];
    }
  }
}

/** Global tokens of one document that are not masked. */
function countGlobals({ globalAttentionMask, attentionMask }: EncoderInputs): number {
  return (
    globalAttentionMask?.reduce((count, mark, t) => count + (mark === 1 && attentionMask?.[t] !== 0 ? 1 : 0), 0) ?? 0
  );
}

function namedOutputs(output: EncoderOutputs): [string, Tensor][] {
  const named: [string, Tensor | undefined][] = [
    ['last_hidden_state', output.lastHiddenState],
    ['pooler_output', output.poolerOutput],
    ['logits', output.logits],
    ['start_logits', output.startLogits],
    ['end_logits', output.endLogits],
  ];
  return named.filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
}

/** A sink that keeps everything in memory. */
export function memorySink(): TensorSink & {
  readonly tensors: Map<string, { shape: readonly number[]; data: Float64Array }>;
} {
  const tensors = new Map<string, { shape: readonly number[]; data: Float64Array }>();
  return {
    tensors,
    begin(plan) {
      for (const { name, shape } of plan) {
        // NaN, so that an element nobody wrote cannot pass for a result.
        const data = new Float64Array(shape.reduce((product, extent) => product * extent, 1)).fill(Number.NaN);
        tensors.set(name, { shape, data });
      }
    },
    write: (name, elementOffset, values) => tensors.get(name)!.data.set(values, elementOffset),
  };
}
