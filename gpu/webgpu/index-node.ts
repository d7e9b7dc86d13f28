/** The same kernels in Node, on Dawn from the npm package `webgpu`, an optional peer of this one; in Deno, on its own WebGPU. */
import { UnsupportedError } from '../../contract/errors.ts';
import { createWebGpuKernels as createKernels, type WebGpuOptions } from './index.ts';
import type { WebGpuKernels } from './kernels.ts';

export * from './index.ts';

export interface WebGpuNodeOptions extends WebGpuOptions {
  /**
   * Options of Dawn: `adapter=NVIDIA` (part of its name), `disable-dawn-features=timestamp_quantization`, …. Default: none, and where
   * the platform itself has WebGPU (Deno with --unstable-webgpu), that is taken instead.
   */
  readonly dawn?: readonly string[];
}

/**
 * One `GPU` for each list of Dawn's options. Subtle: a process in which such an object is collected while a device of it lives ends or
 * hangs. So none ever is; and who asks twice at once gets the same one.
 */
const gpus = new Map<string, Promise<GPU>>();

/**
 * `navigator.gpu` where there is one and nothing is asked of Dawn; Dawn elsewhere.
 * @throws UnsupportedError when the package is not installed or does not run here
 */
export async function gpuOfNode(options: readonly string[] = []): Promise<GPU> {
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  if (navigator?.gpu && options.length === 0) return navigator.gpu;
  const gpu = gpus.get(options.join('\n')) ?? loadDawn().then(({ create }) => create([...options]));
  gpus.set(options.join('\n'), gpu);
  return await gpu;
}

async function loadDawn(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (cause) {
    throw new UnsupportedError({
      where: 'webgpu',
      name: 'package webgpu',
      expected: 'to be installed and to run on this system',
      got: cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause),
      hint: 'npm install webgpu@0.6.2, or use the backend wasm.',
      cause,
    });
  }
}

/** As in index.ts; `gpu` defaults to Dawn. @throws UnsupportedError, MemoryError */
export async function createWebGpuKernels(options: WebGpuNodeOptions = {}): Promise<WebGpuKernels> {
  const { dawn, ...rest } = options;
  if (rest.device) return await createKernels(rest);
  return await createKernels({ ...rest, gpu: rest.gpu ?? (await gpuOfNode(dawn)) });
}
