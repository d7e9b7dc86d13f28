/** Weights as the shaders read them, and documents as keys.ts describes them. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { SequenceRoles } from '../../contract/kernels.ts';
import type { Tensor } from '../../contract/tensor.ts';

/** Input features packed at a time: a few megabytes for the widest layer there is. */
const blockFeatures = 64;
const largestHalf = 65_504;

/**
 * Columns firstColumn .. + columns of a linear layer, (inFeatures + 1, columns rounded up to 4): transposed, the bias last.
 *
 * write: takes blocks of rows, in order; byteOffset is where they begin. Numbers added to fill up are 0.
 * @throws ValueRangeError for a weight that float16 cannot hold
 */
export function packLinear(
  weight: Tensor,
  bias: Tensor | null,
  firstColumn: number,
  columns: number,
  half: boolean,
  write: (block: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>, byteOffset: number) => void,
): void {
  const inFeatures = weight.shape[1]!;
  const wide = 4 * Math.ceil(columns / 4);
  const hand = (values: Float32Array<ArrayBuffer>, row: number): void =>
    half ? write(halves(values), 2 * row * wide) : write(values, 4 * row * wide);
  for (let first = 0; first < inFeatures; first += blockFeatures) {
    const count = Math.min(blockFeatures, inFeatures - first);
    const block = new Float32Array(count * wide);
    for (let n = 0; n < columns; n++) {
      const from = (firstColumn + n) * inFeatures + first;
      for (let k = 0; k < count; k++) block[k * wide + n] = weight.data[from + k]!;
    }
    hand(block, first);
  }
  const last = new Float32Array(wide);
  if (bias) last.set(bias.data.subarray(firstColumn, firstColumn + columns));
  hand(last, inFeatures);
}

function halves(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (pattern, index) => {
    if (!(Math.abs(values[index]!) <= largestHalf)) {
      throw new ValueRangeError({
        where: 'webgpu.loadLinear',
        name: 'weight',
        expected: `numbers within ±${largestHalf} (float16)`,
        got: String(values[index]),
        hint: 'load these weights as float32.',
      });
    }
    return halfBits(pattern);
  });
}

/** Bits of a float32 → bits of the nearest float16, ties to even. The number is within ±65,504. */
export function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112; // of float16
  const mantissa = (bits & 0x7fffff) | 0x800000;
  // Below 2⁻¹⁴ the float16 is a multiple of 2⁻²⁴.
  const drop = exponent > 0 ? 13 : 14 - exponent;
  if (drop > 24) return sign;
  const kept = mantissa >>> drop;
  const rest = mantissa & ((1 << drop) - 1);
  const tie = 1 << (drop - 1);
  const rounded = kept + Number(rest > tie || (rest === tie && (kept & 1) === 1));
  // The hidden bit of `kept` adds 1 to the exponent; a carry of the rounding too, as it should.
  return sign | (exponent > 0 ? ((exponent - 1) << 10) + rounded : rounded);
}

/** documentStarts with the end behind it: (N + 1). */
export const boundsOf = ({ documentStarts, attentionMask }: SequenceRoles): Int32Array =>
  Int32Array.of(...documentStarts, attentionMask.length);

/** Number of the first global token of each document, and G: (N + 1). */
export function firstGlobals(bounds: Int32Array, globalIndices: Int32Array): Int32Array {
  let slot = 0;
  return bounds.map(start => {
    while (slot < globalIndices.length && globalIndices[slot]! < start) slot++;
    return slot;
  });
}

/** bounds, globals: as above. The layout is that of keys.ts. */
export function packSequence(roles: SequenceRoles, bounds: Int32Array, globals: Int32Array): Int32Array<ArrayBuffer> {
  const { attentionMask, globalIndices } = roles;
  const tokens = attentionMask.length;
  const packed = new Int32Array(4 * tokens + bounds.length + globals.length + globalIndices.length);
  for (let document = 0; document + 1 < bounds.length; document++) {
    const [start, end] = [bounds[document]!, bounds[document + 1]!];
    for (let t = start; t < end; t++) packed.set([start, end, attentionMask[t]!, document], 4 * t);
  }
  for (const row of globalIndices) packed[4 * row + 2] = 2;
  packed.set(globals, 4 * tokens);
  packed.set(bounds, 4 * tokens + globals.length);
  packed.set(globalIndices, 4 * tokens + globals.length + bounds.length);
  return packed;
}
