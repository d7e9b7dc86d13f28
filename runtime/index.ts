/**
 * The production path as far as it runs anywhere: checkpoints from bytes, tokenizer, batches. Files of a disk: index-node.ts.
 */
export { type BatchInputs, type BatchOptions, forwardBatch, memorySink, splitBatch, type TensorSink } from './batch.ts';
export { type ByteSource, createMemorySource } from './checkpoint/byte-source.ts';
export {
  asHuggingFaces,
  bartToLed,
  type ConversionOptions,
  fromAuthors,
  robertaToLongformer,
} from './checkpoint/conversions/conversions.ts';
export { type CheckpointParts, type Layout, layoutOf } from './checkpoint/conversions/layout.ts';
export type { ExpectedTensor } from './checkpoint/expected-tensor.ts';
export { parseGenerationSettings, readGenerationSettings } from './checkpoint/generation-settings.ts';
export {
  type CheckpointFiles,
  createCheckpoint,
  isLedCheckpoint,
  type OpenedCheckpoint,
  type OpenLedOptions,
  type OpenModelOptions,
  type OpenOptions,
  openCheckpointFiles,
  openCheckpointFrom,
  openLedCheckpointFiles,
  openModelCheckpointFiles,
  openTensorFiles,
} from './checkpoint/open.ts';
export { type ParseConfigOptions, parseConfig } from './checkpoint/parse-config.ts';
export {
  type ParseLedConfigOptions,
  type ParseModelConfigOptions,
  parseLedConfig,
  parseModelConfig,
} from './checkpoint/parse-led-config.ts';
export {
  type IntegerTensor,
  openSafetensors,
  type SafetensorsOptions,
  type TensorFile,
  type TensorInfo,
} from './checkpoint/safetensors.ts';
export {
  type ByteSink,
  createSafetensorsWriter,
  type SafetensorsWriter,
  type TensorDeclaration,
  writeSafetensors,
} from './checkpoint/safetensors-writer.ts';
export { openShards, parseShardIndex, type ShardIndex } from './checkpoint/shards.ts';
export { canonicalName, expectedTensors } from './checkpoint/tensor-names.ts';
export { createBackend } from './engine/backend.ts';
export { type GenerateOptions, type GenerationProgress, generate } from './generation/generate.ts';
export type { WrittenToken } from './generation/step-hooks.ts';
export {
  forwardLedBatch,
  type GenerateBatchOptions,
  type GeneratedBatch,
  generateBatch,
  type LedBatchInputs,
  splitLedBatch,
} from './led-batch.ts';
export * from './tokenizer/index.ts';
