/** Local and global attention, each alone against plain loops, on both builds. */
import { describe } from 'vitest';
import { describeAttention } from './attention-suite.ts';
import { createWasmKernels } from './index.ts';

describe.each(['relaxed', 'baseline'] as const)('%s build', build => {
  describeAttention({ createKernels: () => createWasmKernels({ build }), tolerance: 0 });
});
