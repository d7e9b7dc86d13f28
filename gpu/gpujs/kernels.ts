/**
 * The kernels of kernels/ behind the seam. A handle owns a store; a call that writes makes a new store and deletes the old one.
 *
 * Read before: contract/kernels.ts, device.ts.
 */
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
} from '../../contract/kernels.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { briefly, type Device, type Statistics, type Store } from './device.ts';
import { expectInside, Handle, Indices, Linear, Norm, Rows, Sequence } from './handles.ts';
import { addLayerNorm, layerMoments } from './kernels/add-layer-norm.ts';
import { type FullCall, fullAttention, fullProbabilities } from './kernels/full-attention.ts';
import { gatherRows } from './kernels/gather-rows.ts';
import { globalAttention, globalProbabilities } from './kernels/global-attention.ts';
import { linear } from './kernels/linear.ts';
import { invertRows, placeRows, scatterRows } from './kernels/place-rows.ts';
import { slidingWindowAttention, slidingWindowProbabilities } from './kernels/sliding-window-attention.ts';
import { expectExact, packLinear, packSequence } from './pack.ts';

/** Patterns of dilation whose numbers stay on the GPU: a model has one for each layer at most. */
const mostDilations = 64;

export class GpuJsKernels implements Kernels {
  readonly name = 'gpujs';
  readonly #device: Device;
  readonly #ownsDevice: boolean;
  readonly #handles = new Set<Handle>();
  readonly #dilations = new Map<string, Store>();
  #disposed = false;

  /** ownsDevice: whether `dispose` closes the device. */
  constructor(device: Device, ownsDevice: boolean) {
    this.#device = device;
    this.#ownsDevice = ownsDevice;
  }

  /** What tests and benchmarks look at. */
  get statistics(): Statistics {
    return this.#device.statistics;
  }

  // ---- memory ----

  loadLinear(weight: Tensor, bias: Tensor | null): DeviceLinear {
    const [outFeatures, inFeatures] = weight.shape as [number, number];
    const name = `weight (${outFeatures}, ${inFeatures})`;
    const handle = this.#make(Linear, 'loadLinear', [[name, inFeatures + 1, outFeatures]]);
    packLinear(weight, bias, (values, first) => this.#upload(handle, first, values));
    return Object.assign(handle, { inFeatures, outFeatures }) as unknown as DeviceLinear;
  }

  loadNorm(gamma: Tensor, beta: Tensor): DeviceNorm {
    const features = gamma.data.length;
    const handle = this.#make(Norm, 'loadNorm', [[`norm (${features})`, 2, features]]);
    this.#upload(handle, 0, new Float32Array([...gamma.data, ...beta.data]));
    return Object.assign(handle, { features }) as unknown as DeviceNorm;
  }

  loadSequence(roles: SequenceRoles): DeviceSequence {
    const length = roles.attentionMask.length;
    const globalCount = roles.globalIndices.length;
    expectExact('loadSequence', 'tokens', length);
    const { tokens, documents, globals, bounds, firstGlobals } = packSequence(roles);
    const name = `sequence of ${length} tokens`;
    const handle = this.#make(Sequence, 'loadSequence', [
      [name, length, 4],
      [name, bounds.length, 2],
      [name, globalCount, 1],
    ]);
    handle.stores = [tokens, documents, globals].map((values, i) => this.#device.upload(handle.stores[i]!, 0, values));
    return Object.assign(handle, { length, globalCount, bounds, firstGlobals }) as unknown as DeviceSequence;
  }

  loadIndices(rows: Int32Array): DeviceIndices {
    const handle = this.#make(Indices, 'loadIndices', [[`indices (${rows.length})`, rows.length, 1]]);
    this.#upload(handle, 0, Float32Array.from(rows));
    return Object.assign(handle, { length: rows.length, values: rows.slice() }) as unknown as DeviceIndices;
  }

  writeIndices(target: DeviceIndices, rows: Int32Array): void {
    const handle = this.#use(target, Indices);
    if (rows.length !== handle.length) {
      throw new TypeError(`gpujs: ${rows.length} row numbers for a handle with ${handle.length}`);
    }
    handle.values = rows.slice();
    this.#upload(handle, 0, Float32Array.from(rows));
  }

  allocate(rows: number, features: number): DeviceRows {
    expectExact('allocate', 'rows', rows);
    const handle = this.#make(Rows, 'allocate', [[`rows (${rows}, ${features})`, rows, features]]);
    return Object.assign(handle, { rows, features }) as unknown as DeviceRows;
  }

  write(target: DeviceRows, values: Float32Array | Float64Array, firstRow = 0): void {
    const rows = this.#use(target, Rows);
    expectInside(rows, firstRow, values.length / rows.features);
    this.#upload(rows, firstRow * rows.features, new Float32Array(values));
  }

  /** @throws DeviceError, MemoryError, also for earlier calls that the GPU refused */
  async read(source: DeviceRows, firstRow: number, rowCount: number): Promise<Float32Array> {
    const rows = this.#use(source, Rows);
    expectInside(rows, firstRow, rowCount);
    if (rowCount * rows.features === 0) return new Float32Array(0);
    return await this.#device.read(rows.store, firstRow * rows.features, rowCount * rows.features);
  }

  /** Also on a lost GPU: whoever cleans up after an error must not meet another. */
  free(...handles: DeviceHandle[]): void {
    for (const given of handles) {
      const handle = this.#own(given, Handle);
      this.#handles.delete(handle);
      for (const store of handle.stores.splice(0)) this.#device.delete(store);
    }
  }

  availableBytes(): number {
    return this.#device.availableBytes;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const stores = [...[...this.#handles].flatMap(handle => handle.stores), ...this.#dilations.values()];
    for (const store of stores) this.#device.delete(store);
    this.#handles.clear();
    this.#dilations.clear();
    if (this.#ownsDevice) this.#device.dispose();
  }

  // ---- compute ----

  linear(out: DeviceRows, input: DeviceRows, weights: DeviceLinear, options: LinearOptions = {}): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    const { store, inFeatures, outFeatures } = this.#use(weights, Linear);
    const { activation = 'linear', inputRow = 0, outRow = 0, rowCount = from.rows - inputRow } = options;
    expectInside(from, inputRow, rowCount);
    expectInside(to, outRow, rowCount);
    if (rowCount === 0) return;
    const values = [from.store, store, inputRow, inFeatures];
    this.#put(to, this.#device.run(linear(activation), rowCount, outFeatures, values), outRow);
  }

  addLayerNorm(out: DeviceRows, input: DeviceRows, residual: DeviceRows | null, norm: DeviceNorm, eps: number): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    const { rows, features } = from;
    expectInside(to, 0, rows);
    if (rows === 0) return;
    const inputs = residual ? [from.store, this.#use(residual, Rows).store] : [from.store];
    const hasResidual = residual !== null;
    const { store } = this.#use(norm, Norm);
    const result = briefly(this.#device, keep => {
      const moments = keep(this.#device.run(layerMoments(hasResidual), rows, 2, [...inputs, features, eps]));
      return this.#device.run(addLayerNorm(hasResidual), rows, features, [...inputs, moments, store]);
    });
    this.#put(to, result, 0);
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
    const wanted = rows === undefined ? null : this.#use(rows, Indices);
    const slots = wanted?.length ?? known.length;
    expectInside(to, 0, slots);
    const call = {
      ...this.#bandCall(query, key, known, band),
      value: this.#use(value, Rows).store,
      rows: wanted?.store ?? null,
      slots,
    };
    slidingWindowAttention(this.#device, call, (result, firstRow) => this.#put(to, result, firstRow));
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
    const known = this.#use(sequence, Sequence);
    const tokens = known.bounds[document + 1]! - known.bounds[document]!;
    expectInside(to, 0, band.heads * tokens);
    if (tokens === 0) return;
    const call = this.#bandCall(query, key, known, band);
    this.#put(to, slidingWindowProbabilities(this.#device, call, document), 0);
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
    const targets = this.#use(outRows, Indices);
    const call = {
      ...this.#globalCall(query, hiddenStates, keyProjection, sequence, heads, causal),
      valueProjection: this.#use(valueProjection, Linear),
    };
    const { globalCount } = call.sequence;
    if (globalCount === 0) return;
    // All results first, in order; then each to its row.
    const { features } = to;
    const results = this.#make(Rows, 'globalAttention', [
      [`results (${globalCount}, ${features})`, globalCount, features],
    ]);
    Object.assign(results, { rows: globalCount, features });
    try {
      globalAttention(this.#device, call, (result, firstSlot) => this.#put(results, result, firstSlot));
      const scattered = briefly(this.#device, keep => {
        const slots = keep(this.#device.run(invertRows, to.rows, 1, [targets.store, globalCount]));
        return this.#device.run(scatterRows, to.rows, features, [to.store, results.store, slots]);
      });
      this.#replace(to, scattered);
    } finally {
      this.free(results as unknown as DeviceRows);
    }
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
    const call = this.#globalCall(query, hiddenStates, keyProjection, sequence, heads, causal);
    const { firstGlobals } = call.sequence;
    const globals = firstGlobals[document + 1]! - firstGlobals[document]!;
    expectInside(to, 0, heads * globals);
    if (globals > 0) this.#put(to, globalProbabilities(this.#device, call, document), 0);
  }

  fullAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
  ): void {
    const to = this.#use(out, Rows);
    const call = { ...this.#fullCall(query, key, sequence, pattern), value: this.#use(value, Rows).store };
    expectInside(to, 0, call.query.rows);
    fullAttention(this.#device, call, (result, firstRow) => this.#put(to, result, firstRow));
  }

  fullProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
    group: number,
  ): void {
    const to = this.#use(out, Rows);
    const call = this.#fullCall(query, key, sequence, pattern);
    const document = call.groupDocuments?.values[group] ?? 0;
    const keys = call.sequence
      ? call.sequence.bounds[document + 1]! - call.sequence.bounds[document]!
      : pattern.keyCount;
    expectInside(to, 0, (pattern.heads * call.query.rows) / pattern.groups);
    if (keys > 0) this.#put(to, fullProbabilities(this.#device, call, group, keys), 0);
  }

  gatherRows(out: DeviceRows, input: DeviceRows, indices: DeviceIndices): void {
    const to = this.#use(out, Rows);
    const from = this.#use(input, Rows);
    const { store, length } = this.#use(indices, Indices);
    expectInside(to, 0, length);
    if (length === 0) return;
    this.#put(to, this.#device.run(gatherRows, length, from.features, [from.store, store]), 0);
  }

  // ---- inside ----

  /** `result` becomes rows firstRow … of `to`; wider rows keep what they held behind it. `result` is gone afterwards. */
  #put(to: Rows, result: Store, firstRow: number): void {
    const { rows, features } = result;
    if (firstRow === 0 && rows === to.rows && features === to.features) {
      this.#replace(to, result);
      return;
    }
    const joined = briefly(this.#device, keep => {
      const values = [to.store, keep(result), firstRow, rows, features];
      return this.#device.run(placeRows, to.rows, to.features, values);
    });
    this.#replace(to, joined);
  }

  /** Overwrites numbers of a handle's first store. */
  #upload(handle: Handle, first: number, values: Float32Array<ArrayBuffer>): void {
    handle.stores[0] = this.#device.upload(handle.store, first, values);
  }

  #replace(to: Rows, store: Store): void {
    this.#device.delete(to.store);
    to.stores = [store];
  }

  #bandCall(query: DeviceRows, key: DeviceRows, sequence: Sequence, band: BandPattern) {
    const dilations = this.#dilationsOf(band.dilation);
    return { query: this.#use(query, Rows).store, key: this.#use(key, Rows).store, sequence, band, dilations };
  }

  /** (heads, 1) The numbers of a pattern, uploaded when it is first seen. */
  #dilationsOf(dilation: readonly number[]): Store {
    const name = dilation.join();
    const known = this.#dilations.get(name);
    if (known) return known;
    const made = this.#device.make('dilation', `dilation (${dilation.length})`, dilation.length, 1);
    const store = this.#device.upload(made, 0, Float32Array.from(dilation));
    this.#dilations.set(name, store);
    if (this.#dilations.size > mostDilations) {
      const [oldest, spent] = this.#dilations.entries().next().value!;
      this.#dilations.delete(oldest);
      this.#device.delete(spent);
    }
    return store;
  }

  #globalCall(
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
  ) {
    return {
      query: this.#use(query, Rows).store,
      hiddenStates: this.#use(hiddenStates, Rows).store,
      keyProjection: this.#use(keyProjection, Linear),
      sequence: this.#use(sequence, Sequence),
      heads,
      causal,
    };
  }

  #fullCall(query: DeviceRows, key: DeviceRows, sequence: DeviceSequence | null, pattern: FullPattern): FullCall {
    return {
      query: this.#use(query, Rows).store,
      key: this.#use(key, Rows).store,
      sequence: sequence && this.#use(sequence, Sequence),
      groupDocuments: pattern.groupDocuments && this.#use(pattern.groupDocuments, Indices),
      pattern,
    };
  }

  /** A new handle with a store (name, rows, features) for each of `sizes`. When one is refused, nothing has changed. */
  #make<Kind extends Handle>(
    kind: new (owner: object, stores: Store[]) => Kind,
    where: string,
    sizes: readonly (readonly [string, number, number])[],
  ): Kind {
    this.#alive();
    const stores: Store[] = [];
    try {
      for (const [name, rows, features] of sizes) stores.push(this.#device.make(where, name, rows, features));
    } catch (error) {
      for (const store of stores) this.#device.delete(store);
      throw error;
    }
    const handle = new kind(this, stores);
    this.#handles.add(handle);
    return handle;
  }

  /** @throws TypeError after dispose, DeviceError when the GPU is lost */
  #alive(): void {
    if (this.#disposed) throw new TypeError('gpujs: these kernels were disposed of');
    this.#device.expectAlive();
  }

  #use<Kind extends Handle>(given: DeviceHandle, kind: new (owner: object, stores: Store[]) => Kind): Kind {
    this.#alive();
    return this.#own(given, kind);
  }

  /** @throws TypeError when the handle is of another kind or backend, or was given back already. */
  #own<Kind extends Handle>(given: DeviceHandle, kind: new (owner: object, stores: Store[]) => Kind): Kind {
    const handle: unknown = given;
    if (this.#disposed) throw new TypeError('gpujs: these kernels were disposed of');
    if (!(handle instanceof kind) || handle.owner !== this) {
      throw new TypeError(`gpujs: expected a handle of kind ${kind.name} made by these kernels`);
    }
    if (handle.stores.length === 0) throw new TypeError(`gpujs: this ${handle.constructor.name} was freed before`);
    return handle;
  }
}
