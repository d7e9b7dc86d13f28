/** What every backend loads from: a config, and tensors by name, read when asked for. */
import type { LedConfig, LongformerConfig, ModelConfig } from './config.ts';
import type { Tensor } from './tensor.ts';

/** Memory that reading may use again and again, so that loading does not leave a copy of every tensor to the garbage collector. */
export class TensorScratch {
  #bytes = new Uint8Array(0);

  /** byteLength bytes, the same ones as before when there were enough; their content is whatever was there. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (this.#bytes.length < byteLength) this.#bytes = new Uint8Array(byteLength);
    return this.#bytes.subarray(0, byteLength);
  }
}

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
   * With `scratch` the data may lie in it, and is good only until the scratch is used again.
   * @throws CheckpointError when there is no such tensor, or when a value is NaN or infinite.
   */
  tensor(name: string, scratch?: TensorScratch): Promise<Tensor>;
  /** Closes the files behind it. */
  close(): Promise<void>;
}

export type LedCheckpoint = Checkpoint<LedConfig>;
