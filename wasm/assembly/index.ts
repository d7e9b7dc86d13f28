/** Everything the TypeScript around this module may call. Arguments are i32 and f32 only. */
export { addLayerNorm } from './add-layer-norm';
export { fullAttention, fullProbabilities } from './full-attention';
export { gatherRows } from './gather-rows';
export { globalAttention } from './global-attention';
export { packedRows, scratchBytes, setScratch } from './layout';
export { packPanel } from './pack';
export { linear } from './linear-f32';
export { activations, exponentials } from './math';
export { slidingWindowAttention, slidingWindowProbabilities } from './sliding-window-attention';
