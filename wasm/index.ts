/** Kernels on WebAssembly SIMD, float32. */
import { UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import { mostBytes } from './arena.ts';
import { type Build, chooseBuild, instantiate, loadModule, type ModuleSource } from './instantiate.ts';
import { WasmKernels } from './kernels.ts';

export { type Build, canRun, type ModuleSource } from './instantiate.ts';

export interface WasmOptions {
  /** Default `auto`: relaxed SIMD where the engine has it. Results of the two differ in the last bits. */
  readonly build?: Build | 'auto';
  /** The compiled module, its bytes or its URL. Default: the file beside this one. Must fit `build`. */
  readonly module?: ModuleSource;
  /** Weights, documents and scratch together. Default: what 32-bit addresses allow, just below 4 GB. */
  readonly maximumMemoryBytes?: number;
  readonly threads?: number;
}

/**
 * New kernels with a memory of their own.
 * @throws UnsupportedError when the engine lacks something, MemoryError when even the scratch is refused.
 */
export async function createWasmKernels(options: WasmOptions = {}): Promise<Kernels> {
  const { build: wanted = 'auto', module: source, maximumMemoryBytes = mostBytes, threads = 1 } = options;
  if (threads !== 1) {
    throw new UnsupportedError({
      where: 'createWasmKernels',
      name: 'threads',
      expected: '1',
      got: String(threads),
    });
  }
  const build = chooseBuild(wanted);
  const module = await loadModule(build, source);
  const { memory, exports } = await instantiate(module, maximumMemoryBytes);
  return new WasmKernels(build === 'relaxed' ? 'wasm' : 'wasm-baseline', memory, exports, maximumMemoryBytes);
}
