/**
 * What a config.json says, in our words. Each field names its Hugging Face key and, where there is one, the paper's symbol.
 */

/** Point-wise functions a checkpoint may ask for. HF: ACT2FN; `gelu` is exact (erf), `geluTanh` the tanh approximation. */
export type Activation =
  | 'gelu'
  | 'geluTanh'
  | 'quickGelu'
  | 'relu'
  | 'relu2'
  | 'relu6'
  | 'silu'
  | 'mish'
  | 'tanh'
  | 'sigmoid'
  | 'linear';

/** The model class that wrote the checkpoint: HF `architectures[0]` without the `Longformer` or `For` around it. */
export type LongformerHead =
  | 'none'
  | 'maskedLm'
  | 'sequenceClassification'
  | 'questionAnswering'
  | 'tokenClassification'
  | 'multipleChoice';

export interface LongformerConfig {
  readonly modelType: 'longformer';
  /** HF `architectures[0]`; 'none' is the bare encoder. */
  readonly head: LongformerHead;
  /** V. HF `vocab_size`. */
  readonly vocabSize: number;
  /** C. HF `hidden_size`. */
  readonly hiddenSize: number;
  /** L. HF `num_hidden_layers`. */
  readonly layers: number;
  /** H. HF `num_attention_heads`. */
  readonly heads: number;
  /** D = C / H. */
  readonly headDim: number;
  /** HF `intermediate_size`. */
  readonly intermediateSize: number;
  /** HF `hidden_act`, of the feed-forward layers. */
  readonly hiddenActivation: Activation;
  /** Rows of the position table. HF `max_position_embeddings`: longest document + padTokenId + 1. */
  readonly maxPositionEmbeddings: number;
  /** HF `type_vocab_size`. */
  readonly typeVocabSize: number;
  /** HF `layer_norm_eps`. */
  readonly layerNormEps: number;
  /** HF `pad_token_id`; also where position numbers start (padTokenId + 1). */
  readonly padTokenId: number;
  /** HF `bos_token_id`. */
  readonly bosTokenId: number;
  /** HF `eos_token_id`. */
  readonly eosTokenId: number;
  /** HF `sep_token_id`. Question answering and multiple choice find their global tokens by it. */
  readonly sepTokenId: number;
  /** (L) Keys on each side, the query not counted: HF `attention_window[l] / 2`. Paper ½w. */
  readonly oneSidedWindow: readonly number[];
  /** (L)(H) Distance between neighbouring keys; 1 = no gaps. `attention_dilation`, honoured by us, ignored by HF. Paper d (gaps + 1). */
  readonly dilation: readonly (readonly number[])[];
  /** Keys after the query are not seen. `autoregressive`, honoured by us, ignored by HF. */
  readonly causal: boolean;
  /** HF `num_labels`, or the number of entries of `id2label`. */
  readonly labels: number;
  /** Names of the labels by id; `LABEL_0` … when config.json has none. HF `id2label`. */
  readonly labelNames: readonly string[];
  /** HF `tie_word_embeddings`: the masked-LM decoder is the word embedding table. */
  readonly tieWordEmbeddings: boolean;
  /** What the logits of a classifier mean, where config.json says it. HF `problem_type`. */
  readonly problemType?: 'regression' | 'singleLabelClassification' | 'multiLabelClassification';
}

/** HF: LEDForConditionalGeneration, LEDForQuestionAnswering, LEDForSequenceClassification (older checkpoints), LEDModel. */
export type LedHead = 'none' | 'conditionalGeneration' | 'questionAnswering' | 'sequenceClassification';

/** Encoder: a Longformer without token types and with positions from 0. Decoder: BART's. */
export interface LedConfig {
  readonly modelType: 'led';
  readonly head: LedHead;
  /** V. HF `vocab_size`. */
  readonly vocabSize: number;
  /** C. HF `d_model`. */
  readonly hiddenSize: number;
  /** HF `encoder_layers`. */
  readonly encoderLayers: number;
  /** HF `decoder_layers`. */
  readonly decoderLayers: number;
  /** HF `encoder_attention_heads`. */
  readonly encoderHeads: number;
  /** HF `decoder_attention_heads`. */
  readonly decoderHeads: number;
  /** HF `encoder_ffn_dim`. */
  readonly encoderIntermediateSize: number;
  /** HF `decoder_ffn_dim`. */
  readonly decoderIntermediateSize: number;
  /** HF `activation_function`. */
  readonly hiddenActivation: Activation;
  /** Rows of the encoder's position table = longest source. HF `max_encoder_position_embeddings`. */
  readonly maxEncoderPositionEmbeddings: number;
  /** Rows of the decoder's position table = longest target. HF `max_decoder_position_embeddings`. */
  readonly maxDecoderPositionEmbeddings: number;
  /** Always 1e-5: LED has no field for it. */
  readonly layerNormEps: number;
  /** HF `pad_token_id`. */
  readonly padTokenId: number;
  /** HF `bos_token_id`. */
  readonly bosTokenId: number;
  /** HF `eos_token_id`. */
  readonly eosTokenId: number;
  /** HF `decoder_start_token_id`; null when config.json has null. */
  readonly decoderStartTokenId: number | null;
  /** (encoderLayers) Keys on each side: HF `attention_window[l] / 2`. */
  readonly oneSidedWindow: readonly number[];
  /** (encoderLayers)(encoderHeads). `attention_dilation`, honoured by us, ignored by HF. */
  readonly dilation: readonly (readonly number[])[];
  /** HF `num_labels`, or the number of entries of `id2label`. */
  readonly labels: number;
  /** HF `id2label`. */
  readonly labelNames: readonly string[];
  /**
   * HF `tie_word_embeddings`: encoder, decoder and lm_head use `shared.weight`. False: `encoder.embed_tokens.weight`,
   * `decoder.embed_tokens.weight` and `lm_head.weight`, each for itself.
   */
  readonly tieWordEmbeddings: boolean;
}

/** Any model of this package. */
export type ModelConfig = LongformerConfig | LedConfig;
