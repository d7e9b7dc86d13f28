/** Node without the optional package, and Deno, which may need none. */
import { expect, it, vi } from 'vitest';
import { UnsupportedError } from '../../contract/errors.ts';
import { createWebGpuKernels } from './index-node.ts';

vi.mock('webgpu', () => {
  throw new Error('not installed');
});

it('says which package is missing', async () => {
  const error = await createWebGpuKernels().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect((error as Error).message).toMatch(
    /^webgpu: "package webgpu" expected to be installed and to run on this system, got .+\.\n {2}Hint: npm install webgpu@0\.6\.2, or use the backend wasm\.$/,
  );
});

it('takes WebGPU of the platform where there is one, as in Deno, unless options of Dawn are given', async () => {
  vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => null } });
  await expect(createWebGpuKernels()).rejects.toThrow(
    'webgpu: "adapter" expected a GPU with a driver for WebGPU, got none.',
  );
  await expect(createWebGpuKernels({ dawn: ['adapter=NVIDIA'] })).rejects.toThrow('webgpu: "package webgpu"');
  vi.unstubAllGlobals();
});
