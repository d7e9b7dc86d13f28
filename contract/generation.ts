/**
 * What may be asked of a decoder that writes text, and what it answers. The names are Hugging Face's in camelCase.
 *
 * One type for the plain generation of the reference and the fast one of the runtime. Undefined means the default that is named here; where
 * generation_config.json or config.json of a checkpoint say otherwise, whoever reads those files fills the field in before it gets here.
 */

/**
 * Options of generation. Lengths count the whole target: the decoder's prompt, usually one start token, included. Contradictions, as more
 * sequences than beams or a minimum above the maximum, are a ValueRangeError.
 */
export interface GenerationOptions {
  // How long.
  /** Longest target, prompt included. HF `max_length`; without it 20 tokens after the prompt, as HF does. */
  readonly maxLength?: number;
  /** Most tokens after the prompt; wins over maxLength. HF `max_new_tokens`. */
  readonly maxNewTokens?: number;
  /** No end before the target has this many tokens, prompt included. HF `min_length`, default 0. */
  readonly minLength?: number;
  /** No end before this many tokens after the prompt; wins over minLength. HF `min_new_tokens`. */
  readonly minNewTokens?: number;

  // How to search.
  /** Hypotheses kept for each document; 1 is greedy. HF `num_beams`, default 1. */
  readonly numBeams?: number;
  /** Sequences returned for each document: at most numBeams, or any number of samples. HF `num_return_sequences`, default 1. */
  readonly numReturnSequences?: number;
  /** A finished beam's score is its sum of log probabilities / (tokens after the prompt) ^ lengthPenalty. HF `length_penalty`, default 1. */
  readonly lengthPenalty?: number;
  /**
   * When beams stop: true as soon as numBeams of them are finished; false by a guess from the best running beam at its present length;
   * 'never' when no continuation could still win. HF `early_stopping`, default false.
   */
  readonly earlyStopping?: boolean | 'never';

  // What may be written.
  /** Logits of tokens that are in the target already are divided (positive) or multiplied (negative) by this. HF `repetition_penalty`, default 1. */
  readonly repetitionPenalty?: number;
  /** No n-gram of this size twice in the target; 0 allows all. HF `no_repeat_ngram_size`, default 0. */
  readonly noRepeatNgramSize?: number;
  /** No n-gram of this size that is in the source; 0 allows all. HF `encoder_no_repeat_ngram_size`, default 0. */
  readonly encoderNoRepeatNgramSize?: number;
  /** Sequences of tokens that must not be written: the last token of each is forbidden behind the others. HF `bad_words_ids`. */
  readonly badWordsIds?: readonly (readonly number[])[];
  /** The token right after a prompt of one token. HF `forced_bos_token_id`. */
  readonly forcedBosTokenId?: number;
  /** The token at maxLength, if the target gets that far. HF `forced_eos_token_id`; the first when there are several. */
  readonly forcedEosTokenId?: number | readonly number[];

  // Drawing lots; the reference does not.
  /** Draw each token from its probability instead of taking the best. HF `do_sample`, default false. */
  readonly doSample?: boolean;
  /** Logits are divided by this before drawing. HF `temperature`, default 1. */
  readonly temperature?: number;
  /** Draw among this many best tokens; 0 means all. HF `top_k`, default 50. */
  readonly topK?: number;
  /** Draw among the best tokens whose probabilities reach this sum. HF `top_p`, default 1. */
  readonly topP?: number;
  /** Same seed, same text. HF torch.manual_seed; the numbers drawn are not PyTorch's. Default 0. */
  readonly seed?: number;

  // Special tokens; defaults are the config's.
  /** First token of the prompt. HF `decoder_start_token_id`. */
  readonly decoderStartTokenId?: number;
  /** Any of these ends a target. HF `eos_token_id`. */
  readonly eosTokenId?: number | readonly number[];
  /** Fills up shorter targets where they stand in one tensor. HF `pad_token_id`. */
  readonly padTokenId?: number;
  /**
   * (documents)(P) Prompt of each document, all of one length. The start token is put before them unless one begins with it.
   * HF `decoder_input_ids`; default: the start token alone.
   */
  readonly decoderInputIds?: readonly Int32Array[];
}

/** One target that was written. */
export interface GeneratedSequence {
  /** Prompt and everything after it, the ending token included, without padding. HF: a row of `sequences`. */
  readonly ids: Int32Array;
  /** Beam search: sum of log probabilities / length ^ lengthPenalty. Null for greedy and sampling. HF `sequences_scores`. */
  readonly score: number | null;
}
