/** Backends by the name a user types. Each is imported only when it is asked for. */
import { UnsupportedError } from '../contract/errors.ts';
import type { Backend } from '../contract/model.ts';

export const backendNames = ['reference', 'wasm', 'webgpu', 'gpujs'] as const;
export type BackendName = (typeof backendNames)[number];

export interface BackendOptions {
  /** wasm only. Default 1. */
  readonly threads?: number;
}

/** @throws UnsupportedError for another name, or when the platform lacks what the backend needs. */
export async function createBackendNamed(name: string, { threads = 1 }: BackendOptions = {}): Promise<Backend> {
  switch (name) {
    case 'reference': {
      expectOneThread(name, threads);
      const { createReferenceBackend } = await import('../reference/backend.ts');
      return createReferenceBackend();
    }
    case 'wasm': {
      const { createBackend } = await import('../runtime/engine/backend.ts');
      const { createWasmKernels } = await import('../wasm/index.ts');
      return createBackend(await createWasmKernels({ threads }));
    }
    case 'webgpu': {
      expectOneThread(name, threads);
      const { createBackend } = await import('../runtime/engine/backend.ts');
      const { createWebGpuKernels } = await import('../gpu/webgpu/index-node.ts');
      return createBackend(await createWebGpuKernels());
    }
    case 'gpujs': {
      expectOneThread(name, threads);
      const { createBackend } = await import('../runtime/engine/backend.ts');
      const { createGpuJsKernels } = await import('../gpu/gpujs/index-node.ts');
      return createBackend(await createGpuJsKernels());
    }
    default:
      throw new UnsupportedError({
        where: 'longformer',
        name: '--backend',
        expected: `one of ${backendNames.join(', ')}`,
        got: name,
      });
  }
}

/** @throws UnsupportedError */
function expectOneThread(backend: string, threads: number): void {
  if (threads === 1) return;
  throw new UnsupportedError({
    where: 'longformer',
    name: '--threads',
    expected: `1 for ${backend}`,
    got: String(threads),
  });
}
