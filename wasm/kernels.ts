/** The kernels of assembly/ behind the seam: addresses in, one call out. Calls run at once; `read` is a copy. */
import type { Activation } from '../contract/config.ts';
import type {
  BandPattern,
  DeviceHandle,
  DeviceIndices,
  DeviceLinear,
  DeviceNorm,
  DeviceRows,
  DeviceSequence,
  FullPattern,
  Kernels,
  LinearOptions,
  SequenceRoles,
} from '../contract/kernels.ts';
import type { Tensor } from '../contract/tensor.ts';
import { Arena, type LinearMemory } from './arena.ts';
import type { KernelExports } from './instantiate.ts';
import { firstDilation } from './jobs.ts';
import { mostPacked, packedLinearBytes, packLinear } from './pack.ts';
import { Alone, type Team } from './team.ts';

/** The numbers `activate` in assembly/math.ts knows. */
export const activationNumbers: Record<Activation, number> = {
  linear: 0,
  gelu: 1,
  geluTanh: 2,
  quickGelu: 3,
  relu: 4,
  relu2: 5,
  relu6: 6,
  silu: 7,
  mish: 8,
  tanh: 9,
  sigmoid: 10,
};

/** One region of the arena. Freed: address -1. */
class Handle {
  readonly owner: WasmKernels;
  readonly bytes: number;
  address: number;

  constructor(owner: WasmKernels, address: number, bytes: number) {
    this.owner = owner;
    this.address = address;
    this.bytes = bytes;
  }
}

class Rows extends Handle {
  rows = 0;
  features = 0;
}

class Linear extends Handle {
  inFeatures = 0;
  outFeatures = 0;
}

class Norm extends Handle {
  features = 0;
}

class Indices extends Handle {
  length = 0;
}

/** In memory: document starts and the end (N + 1), first global tokens and the end (N + 1), global rows (G), roles (T bytes). */
class Sequence extends Handle {
  length = 0;
  globalCount = 0;
  documentStarts: Int32Array = new Int32Array();
  get documentCount(): number {
    return this.documentStarts.length - 1;
  }
  get globalStartsAddress(): number {
    return this.address + 4 * this.documentStarts.length;
  }
  get globalRowsAddress(): number {
    return this.globalStartsAddress + 4 * this.documentStarts.length;
  }
  get rolesAddress(): number {
    return this.globalRowsAddress + 4 * this.globalCount;
  }
}

/** Queries that full attention takes together: assembly/full-attention.ts. */
const queriesOfTile = 4;

/** A window wider than this sees everything; it keeps window arithmetic inside 32 bits. */
const widestWindow = 2 ** 29;

interface Instance {
  readonly arena: Arena;
  readonly exports: KernelExports;
  readonly team: Team;
}

/** Chunks for each thread: enough that no thread waits long for another. */
const chunksPerThread = 4;
/** Rows of a chunk of a linear layer: what the kernels pack at a time (MC of assembly/layout.ts), in either build. */
const blockRows: Record<'relaxed' | 'baseline', number> = { relaxed: 192, baseline: 160 };
/** Multiply-adds of a chunk, at most: some 20 ms, so that a lost thread is noticed. */
const mostWork = 2 ** 29;

export class WasmKernels implements Kernels {
  readonly name: string;
  /** Null after dispose: nothing else keeps the memory alive. */
  #instance: Instance | null;
  /** What the scratch is sized for, and where it is. It grows with what is loaded and never shrinks. */
  #scratch = { address: 0, bytes: 0, tokens: 0, globals: 0, features: 0 };

  /** @throws MemoryError */
  constructor(
    name: string,
    memory: LinearMemory,
    exports: KernelExports,
    maximumBytes?: number,
    team: Team = new Alone(exports),
  ) {
    this.name = name;
    this.#instance = { arena: new Arena(memory, maximumBytes), exports, team };
    this.#reserve(1, 0, 8);
  }

  // ---- memory ----

  loadLinear(weight: Tensor, bias: Tensor | null): DeviceLinear {
    const [outFeatures, inFeatures] = weight.shape as [number, number];
    const bytes = packedLinearBytes(inFeatures, outFeatures);
    const handle = this.#make(Linear, bytes, 'loadLinear', 0, 0, inFeatures);
    Object.assign(handle, { inFeatures, outFeatures });
    const { packedRows, packPanel } = this.#exports;
    const packing = { floats: this.#arena.floats, rows: packedRows.value / 4, packPanel };
    packLinear(packing, handle.address / 4, weight, bias);
    return handle as unknown as DeviceLinear;
  }

  loadNorm(gamma: Tensor, beta: Tensor): DeviceNorm {
    const features = gamma.data.length;
    const handle = this.#make(Norm, 8 * features, 'loadNorm');
    Object.assign(handle, { features });
    this.#arena.floats.set(gamma.data, handle.address / 4);
    this.#arena.floats.set(beta.data, handle.address / 4 + features);
    return handle as unknown as DeviceNorm;
  }

  loadSequence(roles: SequenceRoles): DeviceSequence {
    const { attentionMask, globalIndices } = roles;
    const length = attentionMask.length;
    const globalCount = globalIndices.length;
    const documentStarts = Int32Array.from([...roles.documentStarts, length]);
    const bytes = 4 * (2 * documentStarts.length + globalCount) + length;
    const handle = this.#make(Sequence, bytes, 'loadSequence', length, globalCount);
    Object.assign(handle, { length, globalCount, documentStarts });

    const { integers, bytes: memory } = this.#arena;
    integers.set(documentStarts, handle.address / 4);
    integers.set(firstGlobals(documentStarts, globalIndices), handle.globalStartsAddress / 4);
    integers.set(globalIndices, handle.globalRowsAddress / 4);
    memory.set(attentionMask, handle.rolesAddress); // 0 padding, 1 local
    for (const row of globalIndices) memory[handle.rolesAddress + row] = 2;
    return handle as unknown as DeviceSequence;
  }

  loadIndices(rows: Int32Array): DeviceIndices {
    const handle = this.#make(Indices, 4 * rows.length, 'loadIndices');
    Object.assign(handle, { length: rows.length });
    this.#arena.integers.set(rows, handle.address / 4);
    return handle as unknown as DeviceIndices;
  }

  writeIndices(target: DeviceIndices, rows: Int32Array): void {
    const handle = this.#use(target, Indices);
    if (rows.length !== handle.length) {
      throw new TypeError(`wasm: ${rows.length} row numbers for a handle with ${handle.length}`);
    }
    this.#arena.integers.set(rows, handle.address / 4);
  }

  allocate(rows: number, features: number): DeviceRows {
    const handle = this.#make(Rows, 4 * rows * features, 'allocate');
    Object.assign(handle, { rows, features });
    return handle as unknown as DeviceRows;
  }

  write(target: DeviceRows, values: Float32Array | Float64Array, firstRow = 0): void {
    const rows = this.#use(target, Rows);
    expectInside(rows, firstRow, values.length / rows.features);
    this.#arena.floats.set(values, rows.address / 4 + firstRow * rows.features);
  }

  read(source: DeviceRows, firstRow: number, rowCount: number): Promise<Float32Array> {
    const rows = this.#use(source, Rows);
    expectInside(rows, firstRow, rowCount);
    const first = rows.address / 4 + firstRow * rows.features;
    return Promise.resolve(new Float32Array(this.#arena.floats.subarray(first, first + rowCount * rows.features)));
  }

  free(...handles: DeviceHandle[]): void {
    for (const given of handles) {
      const handle = this.#use(given, Handle);
      this.#arena.free(handle.address, handle.bytes);
      handle.address = -1;
    }
  }

  availableBytes(): number {
    return this.#arena.availableBytes;
  }

  reserve(bytes: number): void {
    this.#arena.reserve(bytes);
  }

  dispose(): void {
    this.#instance?.team.dispose();
    this.#instance = null;
  }

  // ---- compute ----

  linear(out: DeviceRows, input: DeviceRows, weights: DeviceLinear, options: LinearOptions = {}): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    const { address, inFeatures, outFeatures } = this.#use(weights, Linear);
    const { activation = 'linear', inputRow = 0, outRow = 0, rowCount = from.rows - inputRow } = options;
    expectInside(from, inputRow, rowCount);
    expectInside(to, outRow, rowCount);
    const [chunkRows, chunkColumns] = this.#chunksOfLinear(rowCount, inFeatures, outFeatures);
    const across = Math.ceil(outFeatures / chunkColumns);
    this.#team.run(
      'linear',
      [
        ...[chunkRows, chunkColumns, across],
        ...[to.address + 4 * outRow * to.features, to.features],
        ...[from.address + 4 * inputRow * from.features, from.features],
        ...[rowCount, address, inFeatures, outFeatures, activationNumbers[activation]],
      ],
      Math.ceil(rowCount / chunkRows) * across,
    );
  }

  addLayerNorm(out: DeviceRows, input: DeviceRows, residual: DeviceRows | null, norm: DeviceNorm, eps: number): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    expectInside(to, 0, from.rows);
    const chunkRows = Math.ceil(from.rows / (this.#team.threads * chunksPerThread));
    this.#team.run(
      'addLayerNorm',
      [
        ...[chunkRows, to.address, from.address, residual === null ? 0 : this.#use(residual, Rows).address],
        ...[this.#use(norm, Norm).address, from.rows, from.features],
      ],
      Math.ceil(from.rows / chunkRows),
      [[7, eps]],
    );
  }

  slidingWindowAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    rows?: DeviceIndices,
  ): void {
    const to = this.#use(out, Rows);
    const known = this.#use(sequence, Sequence);
    const wanted = rows === undefined ? undefined : this.#use(rows, Indices);
    expectInside(to, 0, wanted?.length ?? known.length);
    const hiddenSize = to.features;
    const { documentCount } = known;
    const chunks = this.#team.threads * chunksPerThread;
    const chunkDocuments = Math.min(documentCount, Math.ceil((documentCount * band.heads) / chunks));
    const across = Math.ceil(documentCount / chunkDocuments);
    this.#team.run(
      'localAttention',
      [
        ...[chunkDocuments, across, documentCount, to.address, this.#use(query, Rows).address],
        ...[this.#use(key, Rows).address, this.#use(value, Rows).address, hiddenSize, hiddenSize / band.heads],
        ...[Math.min(band.oneSidedWindow, widestWindow), Number(band.causal), known.rolesAddress, known.address],
        ...[known.globalRowsAddress, known.globalStartsAddress, wanted?.address ?? 0, wanted?.length ?? 0],
        ...new Array<number>(firstDilation - 17).fill(0),
        ...band.dilation,
      ],
      band.heads * across,
    );
  }

  slidingWindowProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    document: number,
  ): void {
    const to = this.#use(out, Rows);
    const from = this.#use(query, Rows);
    const known = this.#use(sequence, Sequence);
    const tokens = known.documentStarts[document + 1]! - known.documentStarts[document]!;
    expectInside(to, 0, band.heads * tokens);
    this.#team.run(
      'localProbabilities',
      [
        ...[4 * tokens * to.features, to.address, to.features, from.address, this.#use(key, Rows).address],
        ...[from.features, from.features / band.heads, Math.min(band.oneSidedWindow, widestWindow)],
        ...[Number(band.causal), known.rolesAddress, known.address, document],
        ...[known.globalRowsAddress, known.globalStartsAddress],
        ...new Array<number>(firstDilation - 14).fill(0),
        ...band.dilation,
      ],
      band.heads,
    );
  }

  globalAttention(
    out: DeviceRows,
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    valueProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
    outRows: DeviceIndices,
  ): void {
    const to = this.#use(out, Rows);
    const from = this.#use(hiddenStates, Rows);
    const known = this.#use(sequence, Sequence);
    this.#team.run(
      'globalAttention',
      [
        ...[this.#team.threads, to.address, to.features, this.#use(outRows, Indices).address],
        ...[this.#use(query, Rows).address, from.address, from.features, this.#use(keyProjection, Linear).address],
        ...[this.#use(valueProjection, Linear).address, heads, Number(causal), known.rolesAddress],
        ...[known.address, 0, known.globalRowsAddress, known.globalStartsAddress],
      ],
      this.#team.threads * known.documentCount,
    );
  }

  globalProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
    document: number,
  ): void {
    const to = this.#use(out, Rows);
    const from = this.#use(hiddenStates, Rows);
    const known = this.#use(sequence, Sequence);
    this.#team.run(
      'globalAttention',
      [
        ...[this.#team.threads, to.address, to.features, 0],
        ...[this.#use(query, Rows).address, from.address, from.features, this.#use(keyProjection, Linear).address],
        ...[0, heads, Number(causal), known.rolesAddress],
        ...[known.address, document, known.globalRowsAddress, known.globalStartsAddress],
      ],
      this.#team.threads,
    );
  }

  fullAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
  ): void {
    const { heads, groups } = pattern;
    const from = this.#use(query, Rows);
    // Groups that read the same document are done together; caches have nothing in common.
    const chunkGroups = sequence === null ? 1 : queriesOfTile;
    this.#team.run(
      'fullAttention',
      [
        ...[heads, chunkGroups, this.#use(out, Rows).address, from.address],
        ...[this.#use(key, Rows).address, this.#use(value, Rows).address, from.features, from.features / heads, groups],
        ...[from.rows / groups, ...this.#keysOf(sequence, pattern, from.features / heads)],
      ],
      heads * Math.ceil(groups / chunkGroups),
    );
  }

  fullProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
    group: number,
  ): void {
    const { heads, groups } = pattern;
    const to = this.#use(out, Rows);
    const from = this.#use(query, Rows);
    expectInside(to, 0, (heads * from.rows) / groups);
    this.#team.run(
      'fullProbabilities',
      [
        ...[to.address, to.features, from.address, this.#use(key, Rows).address, from.features, from.features / heads],
        ...[groups, group, from.rows / groups, ...this.#keysOf(sequence, pattern, from.features / heads)],
      ],
      heads,
    );
  }

  gatherRows(out: DeviceRows, input: DeviceRows, indices: DeviceIndices): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    const { address, length } = this.#use(indices, Indices);
    expectInside(to, 0, length);
    this.#exports.gatherRows(to.address, from.address, address, length, from.features);
  }

  // ---- handles and scratch ----

  get #arena(): Arena {
    return this.#alive().arena;
  }

  get #exports(): KernelExports {
    return this.#alive().exports;
  }

  get #team(): Team {
    return this.#alive().team;
  }

  /** keyCount, causal, groupDocuments, documents and roles, as the kernels of full attention want them. */
  #keysOf(
    sequence: DeviceSequence | null,
    { keyCount, groupDocuments, causal }: FullPattern,
    headDim: number,
  ): number[] {
    const known = sequence && this.#use(sequence, Sequence);
    const documents = groupDocuments && this.#use(groupDocuments, Indices);
    // The scores of a tile and its results lie in a region that grows with the documents; caches have one of fixed size.
    const most = 8 * Math.floor(mostPacked / queriesOfTile / 8) - 8 * Math.ceil(headDim / 8);
    if (!known && keyCount > most) throw new TypeError(`wasm: ${keyCount} keys in a cache, at most ${most}`);
    return [keyCount, Number(causal), documents?.address ?? 0, known?.address ?? 0, known?.rolesAddress ?? 0];
  }

  /** Rows and columns of a chunk: whole blocks of rows; columns divided too when there are few rows or very many columns. */
  #chunksOfLinear(rows: number, inFeatures: number, outFeatures: number): [number, number] {
    const { threads } = this.#team;
    if (threads === 1) return [Math.max(rows, 1), outFeatures];
    const chunkRows = Math.min(
      Math.max(rows, 1),
      this.name.includes('baseline') ? blockRows.baseline : blockRows.relaxed,
    );
    const down = Math.ceil(rows / chunkRows);
    const across = Math.max((threads * chunksPerThread) / down, (chunkRows * inFeatures * outFeatures) / mostWork);
    return [chunkRows, 8 * Math.ceil(outFeatures / 8 / across)];
  }

  /** @throws TypeError after dispose */
  #alive(): Instance {
    if (this.#instance === null) throw new TypeError('wasm: these kernels were disposed of');
    return this.#instance;
  }

  /** A new handle, and scratch for what it brings. When either is refused, nothing has changed. */
  #make<Kind extends Handle>(
    kind: new (owner: WasmKernels, address: number, bytes: number) => Kind,
    bytes: number,
    where: string,
    tokens = 0,
    globals = 0,
    features = 0,
  ): Kind {
    const address = this.#arena.allocate(bytes, where);
    try {
      this.#reserve(tokens, globals, features);
    } catch (error) {
      this.#arena.free(address, bytes);
      throw error;
    }
    return new kind(this, address, bytes);
  }

  /** Makes the scratch large enough for T tokens, G global ones and C features, besides all it had to be large enough for so far. */
  #reserve(tokens: number, globals: number, features: number): void {
    const old = this.#scratch;
    if (tokens <= old.tokens && globals <= old.globals && features <= old.features) return;
    const [t, g, c] = [
      Math.max(tokens, old.tokens),
      Math.max(globals, old.globals),
      Math.max(features, old.features),
    ] as const;
    const stride = Math.ceil(this.#exports.scratchBytes(t, g, c) / 64) * 64;
    const bytes = stride * this.#team.threads;
    const address = this.#arena.allocate(bytes, 'scratch');
    if (old.bytes > 0) this.#arena.free(old.address, old.bytes);
    this.#scratch = { address, bytes, tokens: t, globals: g, features: c };
    this.#team.setScratch({ address, stride, tokens: t, globals: g, features: c });
  }

  /** @throws TypeError when the handle is of another kind or backend, or was given back already. */
  #use<Kind extends Handle>(
    given: DeviceHandle,
    kind: new (owner: WasmKernels, address: number, bytes: number) => Kind,
  ): Kind {
    const handle: unknown = given;
    if (!(handle instanceof kind) || handle.owner !== this) {
      throw new TypeError(`wasm: expected a handle of kind ${kind.name} made by these kernels`);
    }
    if (handle.address < 0) throw new TypeError(`wasm: this ${kind.name} was freed before`);
    return handle;
  }
}

/** A write beyond the end of a handle would silently change another one's numbers. */
function expectInside(rows: Rows, first: number, count: number): void {
  if (!(first >= 0 && count >= 0 && first + count <= rows.rows)) {
    throw new TypeError(`wasm: rows ${first}..${first + count} of a handle with ${rows.rows} rows`);
  }
}

/** Number of the first global token of each document, and the end. Shape (documents + 1). */
function firstGlobals(documentStarts: Int32Array, globalIndices: Int32Array): Int32Array {
  let slot = 0;
  return documentStarts.map(start => {
    while (slot < globalIndices.length && globalIndices[slot]! < start) slot++;
    return slot;
  });
}
