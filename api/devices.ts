/** Backends by the name a user types. Each is imported only when it is asked for; there is no falling back. */
import { UnsupportedError } from '../contract/errors.ts';
import type { Backend } from '../contract/model.ts';
import { createWebGpu } from './platform.ts';

/** wasm: float32, everywhere. reference: float64, slow, the truth. webgpu: float32 on a GPU. */
export const deviceNames = ['wasm', 'reference', 'webgpu'] as const;
export type Device = (typeof deviceNames)[number];

export interface DeviceOptions {
  /** wasm only. Default 1. */
  readonly threads?: number;
  /** The number format of the weights. Default: the only one a device has, fp32; fp64 for the reference. */
  readonly dtype?: 'fp32' | 'fp64';
}

/** @throws UnsupportedError for another name or option, or when the platform lacks what the device needs. */
export async function createDevice(name: string, options: DeviceOptions = {}): Promise<Backend> {
  const { threads = 1, dtype } = options;
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
  switch (name) {
    case 'reference': {
      const { createReferenceBackend } = await import('../reference/backend.ts');
      return createReferenceBackend();
    }
    case 'wasm': {
      const { createBackend } = await import('../runtime/engine/backend.ts');
      const { createWasmKernels } = await import('../wasm/index.ts');
      return createBackend(await createWasmKernels({ threads }));
    }
    case 'webgpu': {
      const { createBackend } = await import('../runtime/engine/backend.ts');
      return createBackend(await createWebGpu());
    }
    default:
      throw new UnsupportedError({
        where: 'createDevice',
        name: 'device',
        expected: `one of ${deviceNames.join(', ')}`,
        got: name,
      });
  }
}
