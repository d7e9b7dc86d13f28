/**
 * Model classes by Hugging Face's names, for who wants tensors instead of answers.
 *
 * Each has `fromPretrained`, `forward` on token ids, `config`, `tokenizer` and `dispose`. The class decides the head, whatever
 * config.json says of it, as in Hugging Face.
 */
import type { LongformerConfig, LongformerHead } from '../contract/config.ts';
import type { EncoderInputs, EncoderOutputs, ForwardOptions, LongformerModel as Model } from '../contract/model.ts';
import type { Tokenizer } from '../runtime/tokenizer/index.ts';
import { loadPretrained, type Pretrained, type PretrainedOptions } from './load.ts';
import { type ModelSource, openSource, openTokenizer } from './model-source.ts';

class PretrainedLongformer {
  readonly #loaded: Pretrained<Model>;

  protected constructor(loaded: Pretrained<Model>) {
    this.#loaded = loaded;
  }

  get config(): LongformerConfig {
    return this.#loaded.model.config;
  }
  get tokenizer(): Tokenizer {
    return this.#loaded.tokenizer;
  }

  /** One document, or several packed together. @throws ShapeError, ValueRangeError, AbortedError */
  forward(inputs: EncoderInputs, options?: ForwardOptions): Promise<EncoderOutputs>;
  forward(inputs: readonly EncoderInputs[], options?: ForwardOptions): Promise<EncoderOutputs[]>;
  async forward(
    inputs: EncoderInputs | readonly EncoderInputs[],
    options?: ForwardOptions,
  ): Promise<EncoderOutputs | EncoderOutputs[]> {
    if (!('length' in inputs)) return (await this.#loaded.model.forward([inputs], options))[0]!;
    return await this.#loaded.model.forward(inputs, options);
  }

  dispose(): Promise<void> {
    return this.#loaded.dispose();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#loaded.dispose();
  }

  protected static load(head: LongformerHead, source: ModelSource, options?: PretrainedOptions) {
    return loadPretrained(source, options, { head });
  }
}

/** The bare encoder: `lastHiddenState`, and `poolerOutput` where there is a pooler. */
export class LongformerModel extends PretrainedLongformer {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LongformerModel> {
    return new LongformerModel(await PretrainedLongformer.load('none', source, options));
  }
}
/** `logits` (rows, V). */
export class LongformerForMaskedLM extends PretrainedLongformer {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LongformerForMaskedLM> {
    return new LongformerForMaskedLM(await PretrainedLongformer.load('maskedLm', source, options));
  }
}
/** `logits` (labels). */
export class LongformerForSequenceClassification extends PretrainedLongformer {
  static async fromPretrained(
    source: ModelSource,
    options?: PretrainedOptions,
  ): Promise<LongformerForSequenceClassification> {
    const loaded = await PretrainedLongformer.load('sequenceClassification', source, options);
    return new LongformerForSequenceClassification(loaded);
  }
}
/** `startLogits` and `endLogits` (T). */
export class LongformerForQuestionAnswering extends PretrainedLongformer {
  static async fromPretrained(
    source: ModelSource,
    options?: PretrainedOptions,
  ): Promise<LongformerForQuestionAnswering> {
    return new LongformerForQuestionAnswering(await PretrainedLongformer.load('questionAnswering', source, options));
  }
}
/** `logits` (T, labels). */
export class LongformerForTokenClassification extends PretrainedLongformer {
  static async fromPretrained(
    source: ModelSource,
    options?: PretrainedOptions,
  ): Promise<LongformerForTokenClassification> {
    const loaded = await PretrainedLongformer.load('tokenClassification', source, options);
    return new LongformerForTokenClassification(loaded);
  }
}
/** `logits` (1), one document for each choice. */
export class LongformerForMultipleChoice extends PretrainedLongformer {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LongformerForMultipleChoice> {
    return new LongformerForMultipleChoice(await PretrainedLongformer.load('multipleChoice', source, options));
  }
}

/** The tokenizer of a checkpoint, without its weights. */
export const LongformerTokenizer = {
  async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<Tokenizer> {
    return openTokenizer(await openSource(source, { ...options, weights: false }), options);
  },
};
