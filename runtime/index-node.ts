/**
 * The production path on Node: everything of index.ts, and files.
 */
export { openFileSource } from './checkpoint/byte-source-node.ts';
export {
  type WriteOptions as WriteCheckpointOptions,
  type WrittenCheckpoint,
  writeCheckpoint,
} from './checkpoint/conversions/write-checkpoint-node.ts';
export { openCheckpoint, openDirectory, openLedCheckpoint, openModelCheckpoint } from './checkpoint/open-node.ts';
export { createFileSink, createSafetensorsFile, temporaryPath } from './checkpoint/safetensors-writer-node.ts';
export * from './index.ts';
export * from './tokenizer/load-node.ts';
