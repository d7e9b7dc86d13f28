/** Kernels on gpu.js, float32: for browsers that have WebGL2 and no WebGPU. */
import { UnsupportedError } from '../../contract/errors.ts';
import { type Device, usualScores } from './device.ts';
import { loadGpuJs } from './gpu-js.ts';
import { GpuJsKernels } from './kernels.ts';
import { WebGl2Device } from './webgl2.ts';

export type { Device, Statistics } from './device.ts';
export type { GpuJsKernels } from './kernels.ts';

export interface GpuJsDeviceOptions {
  /** The mode of gpu.js. Its modes for processors are refused. Default: `webgl2`. */
  readonly mode?: 'webgl2';
  readonly powerPreference?: 'high-performance' | 'low-power' | 'default';
  /** All textures together. Default: what the GPU gives; WebGL does not tell how much that is. */
  readonly maximumMemoryBytes?: number;
  /** Largest side of a texture, to see how a smaller GPU fares. Default: the limit of the GPU. */
  readonly mostTextureSize?: number;
  /** Numbers of attention scores that exist at once: fewer take less memory and more calls. Default: 2²². */
  readonly mostScores?: number;
}

export interface GpuJsOptions extends GpuJsDeviceOptions {
  /** A device of the caller's own, with the kernels it has compiled; it is not closed with the kernels. Default: a new one. */
  readonly device?: Device;
}

/**
 * A WebGL2 context of its own, and compiled kernels. The package gpu.js is imported by this call.
 * @throws UnsupportedError without WebGL2, float textures, or the package
 */
export async function openDevice(options: GpuJsDeviceOptions = {}): Promise<Device> {
  const {
    mode = 'webgl2',
    powerPreference = 'high-performance',
    maximumMemoryBytes = Number.POSITIVE_INFINITY,
    mostTextureSize = Number.POSITIVE_INFINITY,
    mostScores = usualScores,
  } = options;
  if (mode !== 'webgl2') throw refusedMode(mode);
  return new WebGl2Device(await loadGpuJs(), { maximumMemoryBytes, mostTextureSize, mostScores, powerPreference });
}

/** New kernels with memory of their own. @throws UnsupportedError as above */
export async function createGpuJsKernels(options: GpuJsOptions = {}): Promise<GpuJsKernels> {
  const { device, ...rest } = options;
  return new GpuJsKernels(device ?? (await openDevice(rest)), device === undefined);
}

const refusedMode = (mode: string): UnsupportedError =>
  new UnsupportedError({
    where: 'gpujs',
    name: 'mode',
    expected: 'webgl2',
    got: mode,
    hint: 'cpu, webasm and dev compute on the processor, which is no GPU: use the backend wasm instead.',
  });
