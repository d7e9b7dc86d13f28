/** What a page does where Node does something else. In a bundle for a page this file stands for platform.ts: "browser" in package.json. */
import { UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { CheckpointFiles } from '../runtime/checkpoint/open.ts';
import type { HubOptions } from './hub/hub-options.ts';

/** A page knows no directories: a name is one of the hub, read by ranges through the browser's cache. @throws HubError, ValueRangeError */
export async function openNamed(name: string, options: HubOptions): Promise<CheckpointFiles> {
  const { openUrl } = await import('./hub/url-files.ts');
  const { hubFolder } = await import('./hub/hub-options.ts');
  return openUrl(hubFolder(name, options), options);
}

/** @throws UnsupportedError without a GPU. */
export async function createWebGpu(): Promise<Kernels> {
  const { createWebGpuKernels } = await import('../gpu/webgpu/index.ts');
  return createWebGpuKernels();
}

/**
 * gpu.js is larger than everything else together, so only pages that import its kernels themselves carry it.
 * @throws UnsupportedError that says how
 */
export async function createGpuJs(): Promise<Kernels> {
  throw new UnsupportedError({
    where: 'createDevice',
    name: 'device',
    expected: 'kernels instead of the name gpujs, in a page',
    got: 'gpujs',
    hint: "import { createGpuJsKernels } from 'longformer/gpu/gpujs', and pass device: await createGpuJsKernels().",
  });
}
