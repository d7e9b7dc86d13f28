/**
 * The outer seam: load a checkpoint, run a model, wait for an answer. Every backend offers it.
 */
import type { Checkpoint, LedCheckpoint } from './checkpoint.ts';
import type { LedConfig, LongformerConfig } from './config.ts';
import type { Tensor } from './tensor.ts';

/** One document. T = its length, padding included if the caller has any. */
export interface EncoderInputs {
  /** (T) Token ids. Exactly one of `inputIds` and `inputsEmbeds`. HF `input_ids`. */
  readonly inputIds?: Int32Array;
  /** (T, C) Word embeddings of the caller's own. HF `inputs_embeds`. */
  readonly inputsEmbeds?: Tensor;
  /** (T) 1 = token, 0 = padding; all 1 when absent. HF `attention_mask`. */
  readonly attentionMask?: Int32Array;
  /** (T) 1 = global, 0 = local, -1 = masked. When absent the head decides, as in HF. HF `global_attention_mask`. */
  readonly globalAttentionMask?: Int32Array;
  /** (T) all 0 when absent. HF `token_type_ids`. */
  readonly tokenTypeIds?: Int32Array;
  /** (T) by HF's rule when absent. HF `position_ids`. */
  readonly positionIds?: Int32Array;
}

/** Attention probabilities of one layer and one document. x = the document's own number of global tokens. */
export interface LayerAttentions {
  /** (H, T, x + columns), columns = 2 * oneSidedWindow + 1: global keys in ascending order, then the band. HF `attentions`. */
  readonly local: Tensor;
  /** (H, x, T), each row over all tokens; null without global tokens. HF `global_attentions` before its axes are swapped. */
  readonly global: Tensor | null;
}

/** What is computed and handed out besides the head's own outputs. Large tensors are streamed, layer by layer, and not kept. */
export interface Want {
  /** Default: true for the bare encoder, false below a head. A head that reads a few rows computes only those in the last layer. */
  readonly lastHiddenState?: boolean;
  /** Masked LM: the rows of each document whose logits are wanted; all when absent. */
  readonly logitRows?: readonly Int32Array[];
  /**
   * Masked LM: takes the logits in blocks of rows instead of having them in the outputs. values: (rows, V), for entries
   * firstRow .. firstRow + rows of the document's logitRows (of all its rows when absent). 4,096 tokens are 824 MB: the engine keeps no more than
   * 268 MB of logits for the outputs, and throws a MemoryError instead.
   */
  readonly logits?: (document: number, firstRow: number, values: Tensor) => void | Promise<void>;
  /** Called with the embedding output (layer 0) and the output of each layer (1..L): (T, C). HF `hidden_states`. */
  readonly hiddenStates?: (document: number, layer: number, values: Tensor) => void | Promise<void>;
  /** Called after each layer (0..L-1). HF `attentions` and `global_attentions`. */
  readonly attentions?: (document: number, layer: number, probabilities: LayerAttentions) => void | Promise<void>;
}

export interface ForwardOptions {
  readonly want?: Want;
  readonly signal?: AbortSignal;
  /** Called after each finished layer with the share of the whole call that is done, 0..1. */
  readonly onProgress?: (done: number) => void;
}

/** Outputs of one document; the head of the checkpoint decides which of the optional ones are there. */
export interface EncoderOutputs {
  /** (T, C), when wanted. HF `last_hidden_state`. */
  readonly lastHiddenState?: Tensor;
  /** (C). Bare encoder, when the checkpoint has a pooler. HF `pooler_output`. */
  readonly poolerOutput?: Tensor;
  /** Masked LM (rows, V), see `Want`; token classification (T, labels); sequence classification (labels); multiple choice (1), one document per choice. */
  readonly logits?: Tensor;
  /** (T). Question answering. */
  readonly startLogits?: Tensor;
  /** (T). Question answering. */
  readonly endLogits?: Tensor;
}

export interface LongformerModel {
  readonly config: LongformerConfig;
  /**
   * The mask the head uses when `globalAttentionMask` is absent: (T) of 0 and 1, or undefined for no global attention.
   * @throws ValueRangeError when the head looks for separators and does not find exactly three
   */
  defaultGlobalAttentionMask(inputs: EncoderInputs): Int32Array | undefined;
  /** Whether the bare encoder gives a `poolerOutput`: the checkpoint has a pooler. */
  readonly hasPooler: boolean;
  /** All checks of `forward`, without computing anything. @throws ShapeError, ValueRangeError */
  expectInputs(documents: readonly EncoderInputs[]): void;
  /** One output per document, in order. @throws ShapeError, ValueRangeError, AbortedError */
  forward(documents: readonly EncoderInputs[], options?: ForwardOptions): Promise<EncoderOutputs[]>;
  dispose(): void;
}

/** One target beside its source document. U = target length. */
export interface LedInputs extends EncoderInputs {
  /** (U) Exactly one of this and `decoderInputsEmbeds`; both absent: the source ids shifted right. HF `decoder_input_ids`. */
  readonly decoderInputIds?: Int32Array;
  /** (U, C). HF `decoder_inputs_embeds`. */
  readonly decoderInputsEmbeds?: Tensor;
  /** (U) 1 = token, 0 = padding; all 1 when absent. HF `decoder_attention_mask`. */
  readonly decoderAttentionMask?: Int32Array;
}

/** Attention probabilities of one decoder layer and one document, (decoderHeads, U, keys). */
export interface DecoderLayerAttentions {
  /** (H, U, U). HF `decoder_attentions`. */
  readonly self: Tensor;
  /** (H, U, T). HF `cross_attentions`. */
  readonly cross: Tensor;
}

/** What is handed out besides the head's outputs; streamed like `Want`. */
export interface LedWant {
  /** HF `encoder_hidden_states`: layer 0 is the embedding output. (T, C). */
  readonly encoderHiddenStates?: (document: number, layer: number, values: Tensor) => void | Promise<void>;
  /** HF `encoder_attentions`. */
  readonly encoderAttentions?: (
    document: number,
    layer: number,
    probabilities: LayerAttentions,
  ) => void | Promise<void>;
  /** HF `decoder_hidden_states`: layer 0 is the embedding output. (U, C). */
  readonly decoderHiddenStates?: (document: number, layer: number, values: Tensor) => void | Promise<void>;
  /** HF `decoder_attentions` and `cross_attentions`. */
  readonly decoderAttentions?: (
    document: number,
    layer: number,
    probabilities: DecoderLayerAttentions,
  ) => void | Promise<void>;
}

export interface LedForwardOptions {
  readonly want?: LedWant;
  readonly signal?: AbortSignal;
  /** Called with the share of the whole call that is done, 0..1. */
  readonly onProgress?: (done: number) => void;
}

/** Outputs of one document; the head of the checkpoint decides which of the optional ones are there. */
export interface LedOutputs {
  /** (T, C). HF `encoder_last_hidden_state`. */
  readonly encoderLastHiddenState: Tensor;
  /** (U, C). HF `last_hidden_state` of LEDModel; under every head here. */
  readonly decoderLastHiddenState: Tensor;
  /** Conditional generation (U, V); sequence classification (labels). */
  readonly logits?: Tensor;
  /** (U). Question answering. */
  readonly startLogits?: Tensor;
  /** (U). Question answering. */
  readonly endLogits?: Tensor;
}

/** Sources that have been read once; decoders attend to them until it is disposed. */
export interface EncodedSource {
  /** (documents) T of each document. */
  readonly lengths: readonly number[];
  dispose(): void;
}

/**
 * Decoding of `groups` hypotheses side by side. A group is one hypothesis (a beam, a sample, a greedy row); each reads one document.
 * A step costs one wait.
 */
export interface Decoding {
  readonly groups: number;
  /** Tokens of each group that have been fed so far. */
  readonly length: number;
  /**
   * Feeds n tokens to each group: tokenIds (groups, n), row by row. Only as the first call. Returns logits (groups, V) of the last position.
   */
  prefill(tokenIds: Int32Array): Promise<Float32Array | Float64Array>;
  /**
   * Feeds one token to each group: tokenIds (groups). parents: (groups) group g continues the past of group parents[g] (of the
   * same document); null = its own. Returns logits (groups, V), valid until the next call.
   */
  step(tokenIds: Int32Array, parents: Int32Array | null): Promise<Float32Array | Float64Array>;
  dispose(): void;
}

export interface LedModel {
  readonly config: LedConfig;
  /** All checks of `forward`, without computing anything. @throws ShapeError, ValueRangeError */
  expectInputs(documents: readonly LedInputs[]): void;
  /** Encoder, decoder and head, without a cache: one output per document, in order. HF LEDModel.forward and the classes above it. */
  forward(documents: readonly LedInputs[], options?: LedForwardOptions): Promise<LedOutputs[]>;
  /** Reads the sources, packed. Cross-attention keys and values are made here, once. @throws ShapeError, ValueRangeError, AbortedError */
  encode(
    documents: readonly EncoderInputs[],
    options?: Pick<LedForwardOptions, 'signal' | 'onProgress'>,
  ): Promise<EncodedSource>;
  /**
   * groupDocuments: (groups) the document each group reads. All memory for maxTargetLength tokens is taken here.
   * Only for a head of conditional generation. @throws ValueRangeError, MemoryError, UnsupportedError
   */
  startDecoding(source: EncodedSource, groupDocuments: Int32Array, maxTargetLength: number): Decoding;
  dispose(): void;
}

export interface LoadOptions {
  readonly signal?: AbortSignal;
  /** Called with the share of the tensors that are loaded, 0..1. */
  readonly onProgress?: (done: number) => void;
}

export interface Backend {
  readonly name: string;
  /** @throws CheckpointError naming every missing or misshapen tensor. */
  loadLongformer(checkpoint: Checkpoint, options?: LoadOptions): Promise<LongformerModel>;
  /** @throws CheckpointError naming every missing or misshapen tensor. */
  loadLed(checkpoint: LedCheckpoint, options?: LoadOptions): Promise<LedModel>;
  /** Gives back what the backend itself holds (memory, threads); its models are gone then. */
  dispose(): void;
}
