/** Attention of a decoder on every kind of kernels Node has: full-attention-suite.ts. */
import { UnsupportedError } from '../contract/errors.ts';
import { createWebGpuKernels } from '../gpu/webgpu/index.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { describeFullAttention, type FullAttentionKind } from './full-attention-suite.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';

const device = await deviceOrReason();
const schedules = device instanceof UnsupportedError ? [] : (['tiled', 'registers'] as const);

const kinds: FullAttentionKind[] = [
  { name: 'reference functions', tolerance: 1e-13, createKernels: async () => createKernelsOnReference() },
  { name: 'wasm', tolerance: 2e-6, createKernels: () => createWasmKernels({ build: 'relaxed' }) },
  { name: 'wasm-baseline', tolerance: 2e-6, createKernels: () => createWasmKernels({ build: 'baseline' }) },
  { name: 'wasm-threads', tolerance: 2e-6, createKernels: () => createWasmKernels({ threads: 2 }) },
  ...schedules.map(schedule => ({
    name: `webgpu-${schedule}`,
    tolerance: 2e-6,
    createKernels: () => createWebGpuKernels({ device: device as GPUDevice, schedule }),
  })),
];

for (const kind of kinds) describeFullAttention(kind);
