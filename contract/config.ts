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
}
