/** Kernels on WebAssembly SIMD, float32. */
import { ValueRangeError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import { mostBytes } from './arena.ts';
import {
  type Build,
  chooseBuild,
  createMemory,
  instantiateOver,
  loadModule,
  type ModuleSource,
} from './instantiate.ts';
import { WasmKernels } from './kernels.ts';
import { type AbortFlag, Alone, Pool } from './team.ts';

export { type Build, canRun, type ModuleSource } from './instantiate.ts';
export type { AbortFlag } from './team.ts';

export interface WasmOptions {
  /** Default `auto`: relaxed SIMD where the engine has it. Results of the two differ in the last bits. */
  readonly build?: Build | 'auto';
  /** The compiled module, its bytes or its URL. Default: the file beside this one. Must fit `build`, and `threads`. */
  readonly module?: ModuleSource;
  /** Weights, documents and scratch together. Default: what 32-bit addresses allow, just below 4 GB. */
  readonly maximumMemoryBytes?: number;
  /** Default 1. More share one memory; the results have the same bits. The caller's thread is one of them. */
  readonly threads?: number;
  /**
   * (1), of shared memory. When another thread stores something other than 0 there, the running call ends with an AbortedError before any thread begins another
   * chunk, some 20 ms; with one thread at the end of the call. Stays in force until it is 0 again.
   */
  readonly abortFlag?: AbortFlag;
}

/** More threads than this are a mistake of the caller. */
const mostThreads = 64;

/**
 * New kernels with a memory of their own.
 * @throws UnsupportedError when the engine lacks something, MemoryError when even the scratch is refused, ValueRangeError.
 */
export async function createWasmKernels(options: WasmOptions = {}): Promise<Kernels> {
  const { build: wanted = 'auto', module: source, maximumMemoryBytes = mostBytes, threads = 1 } = options;
  const { abortFlag = null } = options;
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= mostThreads)) {
    throw new ValueRangeError({
      where: 'createWasmKernels',
      name: 'threads',
      expected: `1..${mostThreads}`,
      got: String(threads),
    });
  }
  const build = chooseBuild(wanted);
  const shared = threads > 1;
  const module = await loadModule(build, source, shared);
  const memory = createMemory(maximumMemoryBytes, shared);
  const exports = await instantiateOver(module, memory);
  const name = `wasm${build === 'relaxed' ? '' : '-baseline'}${shared ? '-threads' : ''}`;
  if (!shared) return new WasmKernels(name, memory, exports, maximumMemoryBytes, new Alone(exports, abortFlag));

  const pool = new Pool({ module, memory, abortFlag }, exports, threads, await workerStarter());
  try {
    await pool.ready();
    return new WasmKernels(name, memory, exports, maximumMemoryBytes, pool);
  } catch (error) {
    pool.dispose();
    throw error;
  }
}

/** Workers of Node beside files, of browsers beside anything else. */
async function workerStarter() {
  if (import.meta.url.startsWith('file:')) return (await import('./start-worker-node.ts')).startWorker;
  return (await import('./start-worker-web.ts')).startWorker;
}
