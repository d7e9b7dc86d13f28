/**
 * The part of gpu.js 2.24.1 that is used here, and how it comes in: when it is asked for, and not before.
 *
 * Its kernels can fall back to the processor without an error. `create` refuses that.
 */
import { UnsupportedError } from '../../contract/errors.ts';
import { helperSource, type Program, sourceOf } from './program.ts';

/** What a call of `createKernel` gives: it can be called, and has the fields of the kernel behind it. */
export interface GpuJsKernel {
  (...values: unknown[]): unknown;
  readonly kernel: {
    /** Of WebGL2: the output of the last run. Set to null, it belongs to whoever took it. */
    texture: { readonly texture: object } | null;
    readonly texSize: Int32Array;
    destroy(removeCanvasReferences?: boolean): void;
  };
  setOutput(output: readonly number[]): void;
}

export interface GpuJsInstance {
  readonly Kernel: unknown;
  createKernel(source: string, settings: object): GpuJsKernel;
}

type KernelClass = (new (...values: never[]) => object) & { readonly isSupported: boolean };

export interface GpuJs {
  readonly GPU: new (settings: object) => GpuJsInstance;
  readonly Texture: new (settings: object) => object;
  readonly WebGL2Kernel: KernelClass;
  readonly WebGPUKernel: KernelClass;
  readonly WebGPUBufferResult: new (settings: object) => object;
  readonly WebGPUContext: { acquire(): Promise<object>; destroy(): Promise<void> };
}

/** @throws UnsupportedError when the package is not installed */
export async function loadGpuJs(): Promise<GpuJs> {
  // Its build for browsers takes the name of WebGPU's own class.
  const own = Object.getOwnPropertyDescriptor(globalThis, 'GPU');
  try {
    const loaded = (await import('gpu.js')) as unknown as { default?: GpuJs } & GpuJs;
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new UnsupportedError({
      where: 'gpujs',
      name: 'package gpu.js',
      expected: 'to be installed',
      got: cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause),
      hint: 'npm install gpu.js@2.24.1, or use the backend wasm.',
      cause,
    });
  } finally {
    if (own) Object.defineProperty(globalThis, 'GPU', own);
  }
}

/** How often a loop may run whose end is an argument. gpu.js cuts such loops silently, by default at 1000. */
export const mostIterations = 2 ** 30;

/** A kernel that takes stores of any size and makes one of any size. storeType: what gpu.js calls a store. */
export function create(gpu: GpuJsInstance, program: Program, storeType: string): GpuJsKernel {
  const { arguments: argumentTypes, helpers } = program;
  return gpu.createKernel(sourceOf(program), {
    output: [1, 1, 1],
    argumentTypes: Object.values(argumentTypes).map(type => (type === 'Rows' ? storeType : type)),
    functions: helpers.map(helper => ({
      name: helper.name,
      source: helperSource(helper),
      argumentTypes: helper.argumentNames.map(() => 'Number'),
      returnType: 'Number',
    })),
    returnType: 'Number',
    precision: 'single',
    tactic: 'precision',
    fixIntegerDivisionAccuracy: false,
    pipeline: true,
    dynamicOutput: true,
    dynamicArguments: true,
    loopMaxIterations: mostIterations,
    // Instead of gpu.js's own, which computes on the processor and says so on the console only.
    onRequestFallback(this: { readonly fallbackReason: string | null }): never {
      throw new UnsupportedError({
        where: 'gpujs',
        name: program.name,
        expected: 'a kernel on the GPU',
        got: `a wish to compute on the processor (${this.fallbackReason ?? 'no reason was given'})`,
        hint: 'use the backend wasm.',
      });
    },
  });
}
