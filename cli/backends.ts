/** Backends by the name a user types: api/devices.ts makes them, the complaints speak of flags. */
import { createDevice, type Device } from '../api/devices.ts';
import { UnsupportedError } from '../contract/errors.ts';
import type { Backend } from '../contract/model.ts';

export const backendNames = ['reference', 'wasm', 'webgpu', 'gpujs'] as const satisfies readonly Device[];

export interface BackendOptions {
  /** wasm only. Default 1. */
  readonly threads?: number;
}

/** @throws UnsupportedError for another name, or when the platform lacks what the backend needs. */
export async function createBackendNamed(name: string, { threads = 1 }: BackendOptions = {}): Promise<Backend> {
  const complain = (flag: string, expected: string, got: string): never => {
    throw new UnsupportedError({ where: 'longformer', name: flag, expected, got });
  };
  if (!backendNames.some(known => known === name)) complain('--backend', `one of ${backendNames.join(', ')}`, name);
  if (name !== 'wasm' && threads !== 1) complain('--threads', `1 for ${name}`, String(threads));
  return await createDevice(name, { threads });
}
