/** What every backend loads from: a config, and tensors by name, read when asked for. */
import type { LedConfig, LongformerConfig, ModelConfig } from './config.ts';
import type { Tensor } from './tensor.ts';

/**
 * Names are Hugging Face's with the backbone's prefix removed (`longformer.`, `roberta.`, `model.` or none in the file):
 * `embeddings.word_embeddings.weight`, `encoder.layer.0.attention.self.query.weight`, `pooler.dense.bias`, `lm_head.bias`, ….
 * LED: `led.` removed, so `shared.weight`, `encoder.layers.0.fc1.weight`, `decoder.embed_positions.weight`, `final_logits_bias`, ….
 */
export interface Checkpoint<Config extends ModelConfig = LongformerConfig> {
  readonly config: Config;
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Extents of a tensor, without reading its data. @throws CheckpointError when there is no such tensor. */
  shape(name: string): readonly number[];
  /**
   * Reads one tensor: F64 stays double; F32, F16 and BF16 become Float32Array without loss. Nothing is kept.
   * @throws CheckpointError when there is no such tensor, or when a value is NaN or infinite.
   */
  tensor(name: string): Promise<Tensor>;
  /** Closes the files behind it. */
  close(): Promise<void>;
}

export type LedCheckpoint = Checkpoint<LedConfig>;
