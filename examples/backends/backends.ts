/** The ways to compute that a browser may have. Each opens, or says by a typed error what is missing. */
import type { Precision } from '../../conformance/budget.ts';
import type { Subject } from '../../conformance/run.ts';
import { engineSubject } from '../../conformance/subjects/engine.ts';
import { referenceSubject } from '../../conformance/subjects/reference.ts';
import type { Kernels } from '../../contract/kernels.ts';
import type { Backend } from '../../contract/model.ts';
import { createGpuJsKernels, openDevice as openWebGl2 } from '../../gpu/gpujs/index.ts';
import { adapterName, createWebGpuKernels, gpuOfPlatform, openDevice } from '../../gpu/webgpu/index.ts';
import { createReferenceBackend } from '../../reference/backend.ts';
import { createBackend } from '../../runtime/index.ts';
import { createWasmKernels, type WasmOptions } from '../../wasm/index.ts';

export interface Candidate {
  readonly name: string;
  readonly what: string;
  /** @throws UnsupportedError naming what the browser lacks */
  open(): Promise<OpenBackend>;
}

export interface OpenBackend {
  /** Who computes: the adapter's name, or the processor. */
  readonly on: string;
  readonly subject: Subject;
  /** A backend of its own for each call; dispose of it. */
  readonly createBackend: () => Promise<Backend>;
  readonly close: () => void;
}

export const candidates: readonly Candidate[] = [
  {
    name: 'reference',
    what: 'plain loops in float64: the truth, and slow',
    open: async () => ({
      on: 'processor',
      subject: referenceSubject(),
      createBackend: async () => createReferenceBackend(),
      close: () => {},
    }),
  },
  wasm('wasm-baseline', 'WebAssembly SIMD, float32', { build: 'baseline' }),
  wasm('wasm', 'WebAssembly relaxed SIMD, float32', { build: 'relaxed' }),
  wasm('wasm-threads', 'WebAssembly, two threads over one memory', { threads: 2 }),
  webGpu('webgpu', 'WGSL kernels, float32', 'float32'),
  webGpu('webgpu-f16', 'WGSL kernels, weights in float16', 'float16'),
  {
    name: 'gpujs',
    what: 'kernels on gpu.js over WebGL2, float32',
    async open() {
      // All cases on one device, as above: many programs to compile.
      const device = await openWebGl2();
      return overKernels(
        'gpujs',
        'float32',
        renderer(),
        () => createGpuJsKernels({ device }),
        () => device.dispose(),
      );
    },
  },
];

/** Who draws for WebGL2. Some browsers name the GPU only to those who ask for it by an extension. */
function renderer(): string {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl) return 'nobody';
  const unmasked = gl.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL;
  const name = String(gl.getParameter(unmasked ?? gl.RENDERER));
  gl.getExtension('WEBGL_lose_context')?.loseContext(); // browsers keep few contexts
  return name;
}

function wasm(name: string, what: string, options: WasmOptions): Candidate {
  const threads = options.threads ?? 1;
  return {
    name,
    what,
    async open() {
      const create = () => createWasmKernels(options);
      (await create()).dispose();
      return overKernels(name, 'float32', `processor, ${threads === 1 ? 'one thread' : `${threads} threads`}`, create);
    },
  };
}

function webGpu(name: string, what: string, weights: 'float32' | 'float16'): Candidate {
  return {
    name,
    what,
    async open() {
      // All cases on one device: each shader is compiled once.
      const device = await openDevice({ gpu: gpuOfPlatform(), half: weights === 'float16' });
      return overKernels(
        name,
        weights,
        adapterName(device),
        () => createWebGpuKernels({ device, weights }),
        () => device.destroy(),
      );
    },
  };
}

function overKernels(
  name: string,
  precision: Precision,
  on: string,
  createKernels: () => Promise<Kernels>,
  close = () => {},
): OpenBackend {
  return {
    on,
    subject: engineSubject(name, precision, createKernels),
    createBackend: async () => createBackend(await createKernels()),
    close,
  };
}
