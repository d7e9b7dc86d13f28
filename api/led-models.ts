/**
 * LED by Hugging Face's class names: tensors and token ids in, tensors and token ids out. Texts are for `pipeline('summarization')`.
 *
 * Read before: models.ts.
 */
import type { LedConfig, LedHead } from '../contract/config.ts';
import type { GeneratedSequence } from '../contract/generation.ts';
import type { EncoderInputs, LedForwardOptions, LedInputs, LedOutputs } from '../contract/model.ts';
import { type GenerateOptions, generate } from '../runtime/generation/generate.ts';
import type { Tokenizer } from '../runtime/tokenizer/index.ts';
import { loadPretrainedLed, type PretrainedLed, type PretrainedOptions } from './load.ts';
import type { ModelSource } from './model-source.ts';

class PretrainedLedModel {
  readonly #loaded: PretrainedLed;

  protected constructor(loaded: PretrainedLed) {
    this.#loaded = loaded;
  }

  get config(): LedConfig {
    return this.#loaded.model.config;
  }
  get tokenizer(): Tokenizer {
    return this.#loaded.tokenizer;
  }

  /** One document with its target, or several packed together. @throws ShapeError, ValueRangeError, AbortedError */
  forward(inputs: LedInputs, options?: LedForwardOptions): Promise<LedOutputs>;
  forward(inputs: readonly LedInputs[], options?: LedForwardOptions): Promise<LedOutputs[]>;
  async forward(
    inputs: LedInputs | readonly LedInputs[],
    options?: LedForwardOptions,
  ): Promise<LedOutputs | LedOutputs[]> {
    if (!('length' in inputs)) return (await this.#loaded.model.forward([inputs], options))[0]!;
    return await this.#loaded.model.forward(inputs, options);
  }

  dispose(): Promise<void> {
    return this.#loaded.dispose();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#loaded.dispose();
  }

  /** Token ids, best first; what the checkpoint's files say is overruled by `options`. */
  protected async write(documents: readonly EncoderInputs[], options: GenerateOptions): Promise<GeneratedSequence[][]> {
    const { model, settings } = this.#loaded;
    return generate(model, documents, { settings, ...options });
  }

  protected static load(head: LedHead, source: ModelSource, options?: PretrainedOptions): Promise<PretrainedLed> {
    return loadPretrainedLed(source, options, { head });
  }
}

/** Encoder and decoder without a head. */
export class LEDModel extends PretrainedLedModel {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LEDModel> {
    return new LEDModel(await PretrainedLedModel.load('none', source, options));
  }
}

/** `logits` (U, V), and `generate`. */
export class LEDForConditionalGeneration extends PretrainedLedModel {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LEDForConditionalGeneration> {
    return new LEDForConditionalGeneration(await PretrainedLedModel.load('conditionalGeneration', source, options));
  }

  /** Sequences of one document, or of each of several. @throws ValueRangeError, AbortedError */
  generate(inputs: EncoderInputs, options?: GenerateOptions): Promise<GeneratedSequence[]>;
  generate(inputs: readonly EncoderInputs[], options?: GenerateOptions): Promise<GeneratedSequence[][]>;
  async generate(
    inputs: EncoderInputs | readonly EncoderInputs[],
    options: GenerateOptions = {},
  ): Promise<GeneratedSequence[] | GeneratedSequence[][]> {
    if (!('length' in inputs)) return (await this.write([inputs], options))[0]!;
    return await this.write(inputs, options);
  }
}

/** `startLogits` and `endLogits` (U). */
export class LEDForQuestionAnswering extends PretrainedLedModel {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LEDForQuestionAnswering> {
    return new LEDForQuestionAnswering(await PretrainedLedModel.load('questionAnswering', source, options));
  }
}

/** `logits` (labels) of a whole document, which ends with `</s>`. Source: HF until version 4. */
export class LEDForSequenceClassification extends PretrainedLedModel {
  static async fromPretrained(source: ModelSource, options?: PretrainedOptions): Promise<LEDForSequenceClassification> {
    return new LEDForSequenceClassification(await PretrainedLedModel.load('sequenceClassification', source, options));
  }
}
