/**
 * The inner seam made of reference functions: slow, in float64, and stricter than any fast kernel.
 *
 * It runs the engine without any fast code, so that a fault of the engine (order of calls, names, positions, a buffer used twice)
 * can be told from a fault of a kernel. New buffers are filled with NaN, so a row that nobody wrote shows; an output that
 * is also an input is refused where the seam forbids it; a handle that was freed is refused.
 */
import { ShapeError, ValueRangeError } from '../contract/errors.ts';
import type {
  DeviceHandle,
  DeviceIndices,
  DeviceLinear,
  DeviceNorm,
  DeviceRows,
  DeviceSequence,
  FullPattern,
  Kernels,
  SequenceRoles,
} from '../contract/kernels.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import * as reference from '../reference/index.ts';

interface Rows extends DeviceRows {
  readonly tensor: Tensor64;
}
interface Linear extends DeviceLinear {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}
interface Norm extends DeviceNorm {
  readonly gamma: Tensor;
  readonly beta: Tensor;
}
interface Sequence extends DeviceSequence {
  readonly roles: SequenceRoles;
}
interface Indices extends DeviceIndices {
  readonly rows: Int32Array;
}

/** One document of a packed sequence, in the reference's words. */
interface Document {
  readonly start: number;
  readonly length: number;
  /** Rows counted from the document's own start. */
  readonly roles: reference.TokenRoles;
  /** Slot of its first global token among those of the sequence. */
  readonly firstSlot: number;
}

export function createKernelsOnReference(): Kernels & { readonly liveHandles: () => number } {
  const live = new Set<DeviceHandle>();
  const born = <Handle>(handle: object): Handle => {
    live.add(handle as DeviceHandle);
    return handle as Handle;
  };
  const use = <Handle>(handle: DeviceHandle): Handle => {
    if (!live.has(handle)) throw complaint('handle', 'one that is alive', 'a freed or foreign one');
    return handle as unknown as Handle;
  };
  const tensorOf = (rows: DeviceRows): Tensor64 => use<Rows>(rows).tensor;
  /** The output's tensor, after refusing that it is one of the inputs. */
  const output = (out: DeviceRows, ...inputs: DeviceRows[]): Tensor64 => {
    if (inputs.includes(out)) throw complaint('out', 'another buffer than the inputs', 'an input');
    return tensorOf(out);
  };

  /** Rows of the queries and of the keys of one group, and which of them see which. */
  const fullGroup = (
    query: DeviceRows,
    sequence: DeviceSequence | null,
    { groups, keyCount, groupDocuments, causal }: FullPattern,
    group: number,
  ): { rows: number[]; keyRows: number[]; sees: (i: number, j: number) => boolean } => {
    const positions = query.rows / groups;
    const own = (count: number): number[] => Array.from({ length: count }, (_, position) => position * groups + group);
    const document =
      sequence && documentsOf(use<Sequence>(sequence).roles)[use<Indices>(groupDocuments!).rows[group]!]!;
    const keyRows = document ? Array.from({ length: document.length }, (_, t) => document.start + t) : own(keyCount);
    const sees = (i: number, j: number): boolean =>
      (!causal || j <= keyRows.length - positions + i) && document?.roles.attentionMask[j] !== 0;
    return { rows: own(positions), keyRows, sees };
  };

  return {
    name: 'engine-on-reference',
    liveHandles: () => live.size,
    availableBytes: () => Number.POSITIVE_INFINITY,
    dispose: () => live.clear(),

    loadLinear(weight, bias) {
      const [outFeatures, inFeatures] = weight.shape as [number, number];
      return born({ weight: copy(weight), bias: bias && copy(bias), inFeatures, outFeatures });
    },
    loadNorm: (gamma, beta) => born({ gamma: copy(gamma), beta: copy(beta), features: gamma.shape[0]! }),
    loadSequence: roles => born({ roles, length: roles.attentionMask.length, globalCount: roles.globalIndices.length }),
    loadIndices: rows => born({ rows: rows.slice(), length: rows.length }),
    writeIndices: (target, rows) => {
      const { rows: held } = use<Indices>(target);
      if (rows.length !== held.length) throw new RangeError(`${rows.length} rows for ${held.length} places`);
      held.set(rows);
    },
    allocate(rows, features) {
      const data = new Float64Array(rows * features).fill(Number.NaN);
      return born({ rows, features, tensor: { shape: [rows, features], data } });
    },
    write: (target, values, firstRow = 0) => tensorOf(target).data.set(values, firstRow * target.features),
    read: async (source, firstRow, rowCount) => {
      const { data } = tensorOf(source);
      return data.slice(firstRow * source.features, (firstRow + rowCount) * source.features);
    },
    free(...handles) {
      for (const handle of handles) {
        if (!live.delete(handle)) throw complaint('handle', 'one that is alive', 'one that was freed before');
      }
    },

    linear(out, input, weights, options = {}) {
      const target = output(out, input);
      const { weight, bias } = use<Linear>(weights);
      const { inputRow = 0, outRow = 0, rowCount = input.rows, activation = 'linear' } = options;
      const rows = reference.sliceRows(tensorOf(input), inputRow, rowCount);
      const result = reference.activate(reference.linear(rows, weight, bias), activation);
      writeRows(target, result, outRow);
    },
    addLayerNorm(out, input, residual, norm, eps) {
      const target = tensorOf(out); // may be an input
      const { gamma, beta } = use<Norm>(norm);
      const sum = residual ? reference.add(tensorOf(input), tensorOf(residual)) : tensorOf(input);
      writeRows(target, reference.layerNorm(sum, gamma, beta, eps), 0);
    },
    slidingWindowAttention(out, query, key, value, sequence, band, rows) {
      const target = output(out, query, key, value);
      const selected = rows && use<Indices>(rows).rows;
      const placed = selected ? scatter(tensorOf(query), selected, sequence.length) : tensorOf(query);
      for (const document of documentsOf(use<Sequence>(sequence).roles)) {
        const part = (of: Tensor64): Tensor64 => reference.sliceRows(of, document.start, document.length);
        const [k, v] = [part(tensorOf(key)), part(tensorOf(value))];
        const { attended } = reference.slidingWindowAttention(part(placed), k, v, document.roles, band);
        for (let t = 0; t < document.length; t++) {
          const row = selected ? selected.indexOf(document.start + t) : document.start + t;
          if (row >= 0) writeRows(target, reference.sliceRows(attended, t, 1), row);
        }
      }
    },
    slidingWindowProbabilities(out, query, key, sequence, band, document) {
      const target = output(out, query, key);
      const { start, length, roles } = documentsOf(use<Sequence>(sequence).roles)[document]!;
      const [q, k] = [tensorOf(query), tensorOf(key)].map(of => reference.sliceRows(of, start, length)) as [
        Tensor64,
        Tensor64,
      ];
      writeProbabilities(target, reference.slidingWindowAttention(q, k, k, roles, band).probs);
    },
    globalAttention(out, query, hiddenStates, keyProjection, valueProjection, sequence, heads, causal, outRows) {
      const target = output(out, query, hiddenStates);
      const targets = use<Indices>(outRows).rows;
      for (const document of documentsOf(use<Sequence>(sequence).roles)) {
        const count = document.roles.globalIndices.length;
        const hidden = reference.sliceRows(tensorOf(hiddenStates), document.start, document.length);
        const q = reference.sliceRows(tensorOf(query), document.firstSlot, count);
        const [key, value] = [keyProjection, valueProjection].map(projection => {
          const { weight, bias } = use<Linear>(projection);
          return reference.linear(hidden, weight, bias);
        }) as [Tensor64, Tensor64];
        const { attended } = reference.globalAttention(q, key, value, document.roles, heads, causal);
        for (let slot = 0; slot < count; slot++) {
          writeRows(target, reference.sliceRows(attended, slot, 1), targets[document.firstSlot + slot]!);
        }
      }
    },
    globalProbabilities(out, query, hiddenStates, keyProjection, sequence, heads, causal, document) {
      const target = output(out, query, hiddenStates);
      const { start, length, roles, firstSlot } = documentsOf(use<Sequence>(sequence).roles)[document]!;
      const { weight, bias } = use<Linear>(keyProjection);
      const key = reference.linear(reference.sliceRows(tensorOf(hiddenStates), start, length), weight, bias);
      const q = reference.sliceRows(tensorOf(query), firstSlot, roles.globalIndices.length);
      writeProbabilities(target, reference.globalAttention(q, key, key, roles, heads, causal).probs);
    },
    fullAttention(out, query, key, value, sequence, pattern) {
      const target = output(out, query, key, value);
      for (let group = 0; group < pattern.groups; group++) {
        const { rows, keyRows, sees } = fullGroup(query, sequence, pattern, group);
        const [q, k, v] = [
          reference.gatherRows(tensorOf(query), rows),
          reference.gatherRows(tensorOf(key), keyRows),
          reference.gatherRows(tensorOf(value), keyRows),
        ];
        const { attended } = reference.denseAttention(q, k, v, pattern.heads, sees);
        for (const [position, row] of rows.entries()) {
          writeRows(target, reference.sliceRows(attended, position, 1), row);
        }
      }
    },
    fullProbabilities(out, query, key, sequence, pattern, group) {
      const target = output(out, query, key);
      const { rows, keyRows, sees } = fullGroup(query, sequence, pattern, group);
      const [q, k] = [reference.gatherRows(tensorOf(query), rows), reference.gatherRows(tensorOf(key), keyRows)];
      writeProbabilities(target, reference.denseAttention(q, k, k, pattern.heads, sees).probs);
    },
    gatherRows(out, input, indices) {
      const target = output(out, input);
      writeRows(target, reference.gatherRows(tensorOf(input), use<Indices>(indices).rows), 0);
    },
  };
}

/** Weights belong to whoever loads them, and may change after the call. */
const copy = ({ shape, data }: Tensor): Tensor => ({ shape, data: data.slice() });

function documentsOf(roles: SequenceRoles): Document[] {
  const { documentStarts, attentionMask, globalIndices } = roles;
  let firstSlot = 0;
  return [...documentStarts].map((start, index) => {
    const end = documentStarts[index + 1] ?? attentionMask.length;
    const globals = [...globalIndices].filter(row => row >= start && row < end).map(row => row - start);
    const document = {
      start,
      length: end - start,
      roles: { attentionMask: attentionMask.subarray(start, end), globalIndices: globals },
      firstSlot,
    };
    firstSlot += globals.length;
    return document;
  });
}

/** Rows of (rows.length, C) at their places among `length` rows; the others NaN. */
function scatter(input: Tensor64, rows: Int32Array, length: number): Tensor64 {
  const features = input.shape[1]!;
  const data = new Float64Array(length * features).fill(Number.NaN);
  for (const [i, row] of rows.entries())
    data.set(input.data.subarray(i * features, (i + 1) * features), row * features);
  return { shape: [length, features], data };
}

function writeRows(target: Tensor64, values: Tensor64, firstRow: number): void {
  const [rows, features] = target.shape as [number, number];
  if (values.shape[1] !== features || firstRow + values.shape[0]! > rows) {
    const got = `(${values.shape.join(', ')}) at row ${firstRow}`;
    throw new ShapeError({
      where: 'kernelsOnReference',
      name: 'out',
      expected: `rows inside (${rows}, ${features})`,
      got,
    });
  }
  target.data.set(values.data, firstRow * features);
}

/** (H, R, columns) into rows head * R + i of a target that may be wider. */
function writeProbabilities(target: Tensor64, probs: Tensor64): void {
  const [heads, rows, columns] = probs.shape as [number, number, number];
  for (let row = 0; row < heads * rows; row++) {
    target.data.set(probs.data.subarray(row * columns, (row + 1) * columns), row * target.shape[1]!);
  }
}

function complaint(name: string, expected: string, got: string): ValueRangeError {
  return new ValueRangeError({ where: 'kernelsOnReference', name, expected, got });
}
