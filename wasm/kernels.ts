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
import { chunksOfBand, chunksOfGlobals, chunksOfLinear, chunksPerThread } from './chunks.ts';
import { expectInside, firstGlobals, Handle, Indices, Linear, Norm, Rows, Sequence } from './handles.ts';
import type { KernelExports } from './instantiate.ts';
import { firstDilation } from './jobs.ts';
import { mostPacked, packedLinearBytes, packLinear } from './pack.ts';
import { type HandleKind, type ScratchNeed, Store } from './store.ts';
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

/** Queries that full attention takes together: assembly/full-attention.ts. */
const queriesOfTile = 4;

/** A window wider than this sees everything; it keeps window arithmetic inside 32 bits. */
const widestWindow = 2 ** 29;

interface Instance {
  readonly store: Store;
  readonly exports: KernelExports;
  readonly team: Team;
}

export class WasmKernels implements Kernels {
  readonly name: string;
  /** Null after dispose: nothing else keeps the memory alive. */
  #instance: Instance | null;

  /** @throws MemoryError */
  constructor(
    name: string,
    memory: LinearMemory,
    exports: KernelExports,
    maximumBytes?: number,
    team: Team = new Alone(exports),
  ) {
    this.name = name;
    this.#instance = { store: new Store(new Arena(memory, maximumBytes), exports, team), exports, team };
  }

  // ---- memory ----

  loadLinear(weight: Tensor, bias: Tensor | null): DeviceLinear {
    const [outFeatures, inFeatures] = weight.shape as [number, number];
    const bytes = packedLinearBytes(inFeatures, outFeatures);
    const handle = this.#make(Linear, bytes, 'loadLinear', { features: inFeatures });
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
    const handle = this.#make(Sequence, bytes, 'loadSequence', { tokens: length, globals: globalCount });
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
    for (const handle of handles) this.#alive().store.free(this.#use(handle, Handle));
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
    const build = this.name.includes('baseline') ? 'baseline' : 'relaxed';
    const { threads } = this.#team;
    const [chunkRows, chunkColumns] = chunksOfLinear(threads, build, rowCount, inFeatures, outFeatures);
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
      { floats: [[7, eps]] },
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
    const chunk = chunksOfBand(this.#team.threads, known, band, hiddenSize / band.heads);
    const across = Math.ceil(documentCount / chunk.documents);
    this.#team.run(
      'localAttention',
      [
        ...[chunk.documents, across, documentCount, to.address, this.#use(query, Rows).address],
        ...[this.#use(key, Rows).address, this.#use(value, Rows).address, hiddenSize, hiddenSize / band.heads],
        ...[Math.min(band.oneSidedWindow, widestWindow), Number(band.causal), known.rolesAddress, known.address],
        ...[known.globalRowsAddress, known.globalStartsAddress, wanted?.address ?? 0, wanted?.length ?? 0],
        ...new Array<number>(firstDilation - 17).fill(0),
        ...band.dilation,
      ],
      band.heads * across,
      chunk,
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
      chunksOfBand(this.#team.threads, known, band, from.features / band.heads),
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
    const chunk = chunksOfGlobals(this.#team.threads, known, heads, from.features);
    this.#team.run(
      'globalAttention',
      [
        ...[chunk.parts, to.address, to.features, this.#use(outRows, Indices).address],
        ...[this.#use(query, Rows).address, from.address, from.features, this.#use(keyProjection, Linear).address],
        ...[this.#use(valueProjection, Linear).address, heads, Number(causal), known.rolesAddress],
        ...[known.address, 0, known.globalRowsAddress, known.globalStartsAddress],
      ],
      chunk.parts * known.documentCount,
      chunk,
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
    const chunk = chunksOfGlobals(this.#team.threads, known, heads, from.features);
    this.#team.run(
      'globalAttention',
      [
        ...[chunk.parts, to.address, to.features, 0],
        ...[this.#use(query, Rows).address, from.address, from.features, this.#use(keyProjection, Linear).address],
        ...[0, heads, Number(causal), known.rolesAddress],
        ...[known.address, document, known.globalRowsAddress, known.globalStartsAddress],
      ],
      chunk.parts,
      chunk,
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
    const keys = sequence === null ? pattern.keyCount : Math.max(0, ...this.#use(sequence, Sequence).lengths);
    // Heads side by side read neighbouring bytes; more threads than one share them.
    const chunkHeads = Math.ceil(heads / this.#team.threads);
    this.#team.run(
      'fullAttention',
      [
        ...[heads, chunkHeads, chunkGroups, this.#use(out, Rows).address, from.address],
        ...[this.#use(key, Rows).address, this.#use(value, Rows).address, from.features, from.features / heads, groups],
        ...[from.rows / groups, ...this.#keysOf(sequence, pattern, from.features / heads)],
      ],
      Math.ceil(heads / chunkHeads) * Math.ceil(groups / chunkGroups),
      { work: 2 * keys * (from.rows / groups) * chunkGroups * chunkHeads * (from.features / heads) },
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

  // ---- what is behind them ----

  get #arena(): Arena {
    return this.#alive().store.arena;
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

  /** @throws TypeError after dispose */
  #alive(): Instance {
    if (this.#instance === null) throw new TypeError('wasm: these kernels were disposed of');
    return this.#instance;
  }

  #make<Kind extends Handle>(kind: HandleKind<Kind>, bytes: number, where: string, need?: Partial<ScratchNeed>): Kind {
    return this.#alive().store.make(kind, bytes, where, need);
  }

  #use<Kind extends Handle>(given: DeviceHandle, kind: HandleKind<Kind>): Kind {
    return this.#alive().store.use(given, kind);
  }
}
