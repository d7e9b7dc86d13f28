/** Backends by the name a user types. Each is imported only when it is asked for; there is no falling back. */
import { UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { Backend } from '../contract/model.ts';
import { createGpuJs, createWebGpu } from './platform.ts';

/** wasm: float32, everywhere. reference: float64, slow, the truth. webgpu, gpujs: float32 on a GPU. */
export const deviceNames = ['wasm', 'reference', 'webgpu', 'gpujs'] as const;
export type Device = (typeof deviceNames)[number];

export interface DeviceOptions {
  /** wasm only. Default 1. */
  readonly threads?: number;
  /** The number format of the weights. Default: the only one a device has, fp32; fp64 for the reference. */
  readonly dtype?: 'fp32' | 'fp64';
}

/**
 * device: a name, or kernels of the caller's own, which are disposed of with the backend.
 * @throws UnsupportedError for another name or option, or when the platform lacks what the device needs.
 */
export async function createDevice(device: string | Kernels, options: DeviceOptions = {}): Promise<Backend> {
  const { threads = 1, dtype } = options;
  const name = typeof device === 'string' ? device : device.name;
  const expect = (option: string, expected: string, got: string | number): void => {
    if (expected === String(got)) return;
    throw new UnsupportedError({
      where: 'createDevice',
      name: option,
      expected: `${expected} on ${name}`,
      got: String(got),
    });
  };
  if (name !== 'wasm') expect('threads', '1', threads);
  if (dtype !== undefined) expect('dtype', name === 'reference' ? 'fp64' : 'fp32', dtype);
  if (typeof device !== 'string') return await overKernels(device);
  switch (name) {
    case 'reference': {
      const { createReferenceBackend } = await import('../reference/backend.ts');
      return createReferenceBackend();
    }
    case 'wasm': {
      const { createWasmKernels } = await import('../wasm/index.ts');
      return await overKernels(await createWasmKernels({ threads }));
    }
    case 'webgpu':
      return await overKernels(await createWebGpu());
    case 'gpujs':
      return await overKernels(await createGpuJs());
    default:
      throw new UnsupportedError({
        where: 'createDevice',
        name: 'device',
        expected: `one of ${deviceNames.join(', ')}`,
        got: name,
      });
  }
}

async function overKernels(kernels: Kernels): Promise<Backend> {
  const { createBackend } = await import('../runtime/engine/backend.ts');
  return createBackend(kernels);
}
