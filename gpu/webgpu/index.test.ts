/** Where there is no WebGPU at all. */
import { expect, it, vi } from 'vitest';
import { createWebGpuKernels } from './index.ts';

it('says where WebGPU is, when the platform has none', async () => {
  vi.stubGlobal('navigator', {});
  await expect(createWebGpuKernels()).rejects.toThrow(
    'webgpu: "navigator.gpu" expected WebGPU, got none.\n' +
      '  Hint: pages need https or localhost and a browser with WebGPU; Node has it in longformer/gpu/node. The backend wasm runs everywhere.',
  );
  vi.unstubAllGlobals();
});
