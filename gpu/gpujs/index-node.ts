/** The same kernels in Node: gpu.js in its mode `webgpu`, on Dawn from the npm package `webgpu`, an optional peer like gpu.js itself; or in Deno. */
import { UnsupportedError } from '../../contract/errors.ts';
import { type Device, usualScores } from './device.ts';
import { type GpuJs, type GpuJsInstance, loadGpuJs } from './gpu-js.ts';
import { GpuJsKernels } from './kernels.ts';
import { type WebGpuContext, WebGpuDevice } from './webgpu.ts';

export type { Device, GpuJsKernels, Statistics } from './index.ts';

export interface GpuJsNodeDeviceOptions {
  /** The mode of gpu.js. Its modes for processors are refused. Default: `webgpu`. */
  readonly mode?: 'webgpu';
  /** All buffers together. Default: what the GPU gives; WebGPU does not tell how much that is. */
  readonly maximumMemoryBytes?: number;
  /** Numbers of attention scores that exist at once: fewer take less memory and more calls. Default: 2²². */
  readonly mostScores?: number;
}

export interface GpuJsNodeOptions extends GpuJsNodeDeviceOptions {
  /** A device of the caller's own, with the kernels it has compiled; it is not closed with the kernels. Default: a new one. */
  readonly device?: Device;
}

/**
 * Compiled kernels on the adapter the platform prefers. gpu.js has one GPU device for a process; all of these share it.
 * @throws UnsupportedError without an adapter or one of the packages, or for another mode
 */
export async function openDevice(options: GpuJsNodeDeviceOptions = {}): Promise<Device> {
  const { mode = 'webgpu', maximumMemoryBytes = Number.POSITIVE_INFINITY, mostScores = usualScores } = options;
  if (mode !== 'webgpu') throw refusedMode(mode);
  const library = await loadGpuJs();
  const { gpu, acquired } = start(library, await gpuOfNode());
  const context = await acquired.catch((cause: unknown) => {
    throw noAdapter(cause);
  });
  users.set(context, (users.get(context) ?? 0) + 1);
  const limits = { maximumMemoryBytes, mostScores };
  const device = new WebGpuDevice(library, gpu, context, limits, () => leave(library, context));
  try {
    await device.compile();
  } catch (error) {
    device.dispose();
    throw error;
  }
  return device;
}

/** New kernels with memory of their own. @throws UnsupportedError as above */
export async function createGpuJsKernels(options: GpuJsNodeOptions = {}): Promise<GpuJsKernels> {
  const { device, ...rest } = options;
  return new GpuJsKernels(device ?? (await openDevice(rest)), device === undefined);
}

/** How many devices of ours use the one of gpu.js. The last one closes it. */
const users = new Map<WebGpuContext, number>();

function leave(library: GpuJs, context: WebGpuContext): void {
  const left = users.get(context)! - 1;
  if (left > 0) {
    users.set(context, left);
    return;
  }
  users.delete(context);
  if (!context.isLost) void library.WebGPUContext.destroy();
}

/** Subtle: a process in which Dawn's object is collected while a device of it lives ends or hangs. So it never is. */
let dawn: Promise<GPU> | null = null;

/** `navigator.gpu` where there is one (Deno with --unstable-webgpu), Dawn elsewhere. @throws UnsupportedError when the package does not run here */
async function gpuOfNode(): Promise<GPU> {
  const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
  if (navigator?.gpu) return navigator.gpu;
  dawn ??= import('webgpu').then(
    ({ create }) => create([]),
    (cause: unknown) => {
      dawn = null;
      throw new UnsupportedError({
        where: 'gpujs',
        name: 'package webgpu',
        expected: 'to be installed and to run on this system',
        got: cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause),
        hint: 'npm install webgpu@0.6.2, or use the backend wasm.',
        cause,
      });
    },
  );
  return await dawn;
}

/** gpu.js looks for `navigator.gpu`, at once and never again; so it finds it for as long, and nobody else does. */
function start(library: GpuJs, gpu: GPU): { gpu: GpuJsInstance; acquired: Promise<WebGpuContext> } {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  try {
    const instance = new library.GPU({ mode: 'webgpu' });
    return { gpu: instance, acquired: library.WebGPUContext.acquire() as Promise<WebGpuContext> };
  } finally {
    if (own) Object.defineProperty(globalThis, 'navigator', own);
    else Reflect.deleteProperty(globalThis, 'navigator');
  }
}

const noAdapter = (cause: unknown): UnsupportedError =>
  new UnsupportedError({
    where: 'gpujs',
    name: 'adapter',
    expected: 'a GPU with a driver for WebGPU, which gpu.js needs in Node',
    got: /no adapter/.test(String(cause)) ? 'none' : String(cause).split('\n', 1)[0]!,
    hint: 'on Linux install the Vulkan loader and a driver (libvulkan1, mesa-vulkan-drivers or that of the vendor), or use the backend wasm.',
    cause,
  });

const refusedMode = (mode: string): UnsupportedError =>
  new UnsupportedError({
    where: 'gpujs',
    name: 'mode',
    expected: 'webgpu',
    got: mode,
    hint:
      mode === 'headlessgl'
        ? 'headlessgl is WebGL 1, without float32 textures that can be written everywhere, and needs a display.'
        : 'cpu, webasm and dev compute on the processor, which is no GPU: use the backend wasm instead. webgl2 is for pages.',
  });
