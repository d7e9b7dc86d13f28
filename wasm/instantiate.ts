/** From bytes, a module or a URL to a running instance; says what is missing where there is none. */
import { MemoryError, UnsupportedError } from '../contract/errors.ts';
import type { LinearMemory } from './arena.ts';

/** `relaxed` may fuse multiply and add; `baseline` runs wherever WebAssembly has SIMD. */
export type Build = 'relaxed' | 'baseline';

/** A WebAssembly.Module. Not every set of TypeScript libraries knows that name, and it has no members. */
export type CompiledModule = object;

/** A compiled module, its bytes, or where to get them. */
export type ModuleSource = CompiledModule | ArrayBuffer | Uint8Array | URL | string;

/** What is used of the global WebAssembly. */
interface Engine {
  validate(bytes: Uint8Array): boolean;
  compile(bytes: ArrayBuffer | Uint8Array): Promise<CompiledModule>;
  instantiate(module: CompiledModule, imports: object): Promise<{ readonly exports: object }>;
  Memory: new (limits: { initial: number; maximum: number; shared?: boolean }) => LinearMemory;
}

const engine = (globalThis as { WebAssembly?: Engine }).WebAssembly;

function requireEngine(): Engine {
  if (engine) return engine;
  throw unsupported('WebAssembly', 'an engine without it', 'Use the reference backend.');
}

/** What assembly/index.ts exports. All arguments are 32-bit integers except the marked ones. */
export interface KernelExports {
  scratchBytes(tokens: number, globals: number, features: number): number;
  setScratch(base: number, tokens: number, globals: number, features: number): void;
  /** Address of the packed rows in the scratch. */
  readonly packedRows: { readonly value: number };
  packPanel(to: number, from: number, count: number): void;
  linear(
    out: number,
    outStride: number,
    input: number,
    inputStride: number,
    rows: number,
    weights: number,
    inFeatures: number,
    outFeatures: number,
    activation: number,
  ): void;
  addLayerNorm(
    out: number,
    input: number,
    residual: number,
    norm: number,
    rows: number,
    features: number,
    /** f32 */
    eps: number,
  ): void;
  slidingWindowAttention(
    out: number,
    query: number,
    key: number,
    value: number,
    hiddenSize: number,
    head: number,
    headDim: number,
    oneSidedWindow: number,
    dilation: number,
    causal: number,
    roles: number,
    documents: number,
    firstDocument: number,
    documentCount: number,
    globalRows: number,
    globalStarts: number,
    rows: number,
    rowCount: number,
  ): void;
  slidingWindowProbabilities(
    out: number,
    outFeatures: number,
    query: number,
    key: number,
    hiddenSize: number,
    head: number,
    headDim: number,
    oneSidedWindow: number,
    dilation: number,
    causal: number,
    roles: number,
    documents: number,
    document: number,
    globalRows: number,
    globalStarts: number,
  ): void;
  globalAttention(
    out: number,
    outFeatures: number,
    outRows: number,
    query: number,
    hiddenStates: number,
    hiddenSize: number,
    keyProjection: number,
    valueProjection: number,
    heads: number,
    causal: number,
    roles: number,
    documents: number,
    firstDocument: number,
    documentCount: number,
    globalRows: number,
    globalStarts: number,
    part: number,
    parts: number,
  ): void;
  fullAttention(
    out: number,
    query: number,
    key: number,
    value: number,
    hiddenSize: number,
    headDim: number,
    head: number,
    headCount: number,
    groups: number,
    group: number,
    groupCount: number,
    queryCount: number,
    keyCount: number,
    causal: number,
    groupDocuments: number,
    documents: number,
    roles: number,
  ): void;
  fullProbabilities(
    out: number,
    outFeatures: number,
    query: number,
    key: number,
    hiddenSize: number,
    headDim: number,
    head: number,
    groups: number,
    group: number,
    queryCount: number,
    keyCount: number,
    causal: number,
    groupDocuments: number,
    documents: number,
    roles: number,
  ): void;
  gatherRows(out: number, input: number, indices: number, count: number, features: number): void;
  exponentials(at: number, count: number): void;
  activations(at: number, count: number, activation: number): void;
}

/** () → v128 of i8x16.splat and popcnt; with relaxed: of i8x16.relaxed_swizzle. The smallest modules that need them. */
const probes: Record<Build, readonly number[]> = {
  baseline: [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
  relaxed: [
    ...[1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15],
    ...[253, 128, 2, 11],
  ],
};

/** Whether this engine can run a build. */
export function canRun(build: Build): boolean {
  return engine?.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...probes[build]])) ?? false;
}

/**
 * The build to use.
 * @throws UnsupportedError naming what the engine lacks.
 */
export function chooseBuild(wanted: Build | 'auto'): Build {
  requireEngine();
  if (wanted === 'auto') {
    if (canRun('relaxed')) return 'relaxed';
    wanted = 'baseline';
  }
  if (canRun(wanted)) return wanted;
  throw wanted === 'baseline'
    ? unsupported(
        'WebAssembly SIMD',
        'an engine without it',
        'Node 16.4, Chrome 91, Firefox 89 and Safari 16.4 have it.',
      )
    : unsupported('WebAssembly relaxed SIMD', 'an engine without it', "Use build: 'baseline', or Node 22 or later.");
}

const unsupported = (expected: string, got: string, hint: string): UnsupportedError =>
  new UnsupportedError({ where: 'createWasmKernels', name: 'engine', expected, got, hint });

/** Compiles what `source` stands for; by default the file of the build beside this one. */
export async function loadModule(build: Build, source?: ModuleSource, shared = false): Promise<CompiledModule> {
  const WebAssembly = requireEngine();
  const from = source ?? new URL(`./build/kernels-${build}${shared ? '-threads' : ''}.wasm`, import.meta.url);
  if (from instanceof ArrayBuffer || from instanceof Uint8Array) return WebAssembly.compile(from);
  if (typeof from !== 'string' && !(from instanceof URL)) return from;
  const url = new URL(from);
  if (url.protocol === 'file:') {
    const { readModule } = await import('./read-module-node.ts');
    return WebAssembly.compile(await readModule(url));
  }
  const response = await fetch(url);
  if (!response.ok) {
    throw unsupported(`a module at ${url.href}`, `status ${response.status}`, 'Pass `module` to createWasmKernels.');
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/**
 * A memory of one page.
 * @throws UnsupportedError when it shall be shared and cannot; MemoryError when the system has no addresses for it.
 */
export function createMemory(maximumBytes: number, shared = false): LinearMemory {
  const WebAssembly = requireEngine();
  const limits = { initial: 1, maximum: Math.max(1, Math.floor(maximumBytes / 65_536)) };
  if (!shared) return reserve(() => new WebAssembly.Memory(limits));
  const hint = 'Pages must be cross-origin isolated for it; or use one thread.';
  if (typeof SharedArrayBuffer === 'undefined') throw unsupported('shared memory', 'an engine without it', hint);
  return reserve(() => new WebAssembly.Memory({ ...limits, shared }));
}

/** Engines reserve addresses, not memory, for all that a memory might become. */
function reserve(create: () => LinearMemory): LinearMemory {
  try {
    return create();
  } catch (cause) {
    throw new MemoryError({
      where: 'createWasmKernels',
      name: 'memory',
      expected: 'addresses for a WebAssembly memory',
      got: 'a refusal',
      hint: 'a limit on the address space (`ulimit -v`) has to leave about 10 GB, of which next to nothing is used.',
      cause,
    });
  }
}

/** An instance over `memory`. */
export async function instantiateOver(module: CompiledModule, memory: LinearMemory): Promise<KernelExports> {
  const { exports } = await requireEngine().instantiate(module, { env: { memory } });
  return exports as KernelExports;
}

/** An instance over a memory of its own. */
export async function instantiate(
  module: CompiledModule,
  maximumBytes: number,
): Promise<{ memory: LinearMemory; exports: KernelExports }> {
  const memory = createMemory(maximumBytes);
  return { memory, exports: await instantiateOver(module, memory) };
}
