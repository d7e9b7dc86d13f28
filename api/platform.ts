/** What Node and a page do differently, asked at run time. Nothing of either is imported before. Read next: platform-web.ts. */
import type { Kernels } from '../contract/kernels.ts';
import type { CheckpointFiles } from '../runtime/checkpoint/open.ts';
import type { HubOptions } from './hub/hub-options.ts';
import * as page from './platform-web.ts';

/** A directory, or a model of the hub in the cache on the disk. @throws IoError, HubError, ValueRangeError, AbortedError */
export async function openNamed(name: string, options: HubOptions): Promise<CheckpointFiles> {
  if (!isNode()) return page.openNamed(name, options);
  const node = await import('./hub/open-named-node.ts');
  return node.openNamed(name, options);
}

/** @throws UnsupportedError without a GPU, or without the package `webgpu` on Node. */
export async function createWebGpu(): Promise<Kernels> {
  if (!isNode()) return page.createWebGpu();
  const { createWebGpuKernels } = await import('../gpu/webgpu/index-node.ts');
  return createWebGpuKernels();
}

/** @throws UnsupportedError without a GPU, or without the packages `gpu.js` and `webgpu` on Node; in a page always. */
export async function createGpuJs(): Promise<Kernels> {
  if (!isNode()) return page.createGpuJs();
  const { createGpuJsKernels } = await import('../gpu/gpujs/index-node.ts');
  return createGpuJsKernels();
}

/** Node, and what behaves like it: Deno and Bun. */
function isNode(): boolean {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node !== undefined;
}
