/** Kernels on WebGPU, float32. Runs wherever there is a `GPU` object: browsers, Deno; in Node see index-node.ts. */
import { UnsupportedError } from '../../contract/errors.ts';
import { expectDeviceFeatures, isSoftware, limitsOf, openDevice, scheduleFor } from './device.ts';
import type { Schedule } from './kernels/linear.ts';
import { WebGpuKernels } from './kernels.ts';

export { adapterName, isSoftware, openDevice } from './device.ts';
export type { Schedule } from './kernels/linear.ts';
export type { WebGpuKernels } from './kernels.ts';
export type { Statistics } from './memory.ts';
export type { Timing } from './timings.ts';

export interface WebGpuOptions {
  /** A device of the caller's own; it is not destroyed with the kernels. Default: one of the platform's adapter. */
  readonly device?: GPUDevice;
  /** Default: `navigator.gpu`. */
  readonly gpu?: GPU;
  /** Which adapter, where there are two. Default: `high-performance`. */
  readonly powerPreference?: GPUPowerPreference;
  /** Number format of the weights; arithmetic and everything else stay float32. Default: `float32`. */
  readonly weights?: 'float32' | 'float16';
  /** Default `auto`: `registers` where a processor plays GPU, `tiled` elsewhere. */
  readonly schedule?: Schedule | 'auto';
  /** All buffers together. Default: what the device gives; WebGPU does not tell how much that is. */
  readonly maximumMemoryBytes?: number;
  /** Largest buffer, to see how a smaller device fares. Default: the limit of the device. */
  readonly mostBindingBytes?: number;
  /** Device timestamps around every kernel, for benchmarks. */
  readonly timings?: boolean;
}

/**
 * Operations of one submit: below a second on any GPU that is worth its name, so that no driver takes it for a hang. A pass of
 * longformer-base over 4,096 tokens is 0.9e12.
 */
const mostFlops = 2e12;
const mostFlopsOfSoftware = 2e10;

/**
 * New kernels with memory of their own.
 * @throws UnsupportedError when there is no WebGPU, no adapter, or a feature is missing; MemoryError
 */
export async function createWebGpuKernels(options: WebGpuOptions = {}): Promise<WebGpuKernels> {
  const {
    weights = 'float32',
    schedule = 'auto',
    maximumMemoryBytes = Number.POSITIVE_INFINITY,
    timings = false,
  } = options;
  const half = weights === 'float16';
  const device =
    options.device ??
    (await openDevice({
      gpu: options.gpu ?? gpuOfPlatform(),
      powerPreference: options.powerPreference,
      timings,
      half,
    }));
  expectDeviceFeatures(device, { half, timings });
  return new WebGpuKernels(device, {
    name: half ? 'webgpu-f16' : 'webgpu',
    schedule: schedule === 'auto' ? scheduleFor(device) : schedule,
    limits: limitsOf(device, options.mostBindingBytes),
    maximumMemoryBytes,
    half,
    timings,
    mostFlops: isSoftware(device) ? mostFlopsOfSoftware : mostFlops,
    ownsDevice: options.device === undefined,
  });
}

/** `navigator.gpu`. @throws UnsupportedError when the platform has none */
export function gpuOfPlatform(): GPU {
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  if (navigator?.gpu) return navigator.gpu;
  throw new UnsupportedError({
    where: 'webgpu',
    name: 'navigator.gpu',
    expected: 'WebGPU',
    got: 'none',
    hint: 'pages need https or localhost and a browser with WebGPU; Node has it in longformer/gpu/node. The backend wasm runs everywhere.',
  });
}
