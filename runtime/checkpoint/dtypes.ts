/**
 * The number formats of safetensors, and how they become JavaScript's.
 *
 * Little-endian machines only, which is every machine V8 is used on but s390x.
 * Source: the safetensors crate, enum Dtype.
 */
import { CheckpointError, UnsupportedError } from '../../contract/errors.ts';

/** Bits of one element. A Map, so that no name is special: `__proto__` is simply absent. */
const bitsOf = new Map([
  ['F64', 64],
  ['F32', 32],
  ['F16', 16],
  ['BF16', 16],
  ['I64', 64],
  ['I32', 32],
  ['I16', 16],
  ['I8', 8],
  ['U64', 64],
  ['U32', 32],
  ['U16', 16],
  ['U8', 8],
  ['BOOL', 8],
  // Known to the format, not read by us: their sizes are checked all the same.
  ['C64', 64],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E5M2FNUZ', 8],
  ['F8_E4M3FNUZ', 8],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['F4', 4],
]);

/** Bits of one element, or undefined when the format has no such dtype. */
export const dtypeBits = (dtype: string): number | undefined => bitsOf.get(dtype);

type Bytes = Uint8Array<ArrayBuffer>;

const floatReaders = new Map<string, (bytes: Bytes) => Float32Array | Float64Array>([
  ['F64', bytes => view(Float64Array, bytes)],
  ['F32', bytes => view(Float32Array, bytes)],
  ['F16', bytes => widenFloat16(view(Uint16Array, bytes))],
  ['BF16', bytes => widenBfloat16(view(Uint16Array, bytes))],
]);

const integerReaders = new Map<string, (bytes: Bytes) => ArrayLike<number | bigint>>([
  ['I64', bytes => view(BigInt64Array, bytes)],
  ['I32', bytes => view(Int32Array, bytes)],
  ['I16', bytes => view(Int16Array, bytes)],
  ['I8', bytes => view(Int8Array, bytes)],
  ['U64', bytes => view(BigUint64Array, bytes)],
  ['U32', bytes => view(Uint32Array, bytes)],
  ['U16', bytes => view(Uint16Array, bytes)],
  ['U8', bytes => bytes],
  // The format does not say that a boolean is 0 or 1; anything but 0 is true.
  ['BOOL', bytes => bytes.map(byte => (byte === 0 ? 0 : 1))],
]);

interface NumberArray<Values> {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): Values;
  readonly BYTES_PER_ELEMENT: number;
}

/**
 * The bytes as numbers, in the same memory. Typed arrays may begin only at multiples of their width, and tensors in a file
 * need not: then they are copied to memory of their own.
 */
function view<Values>(kind: NumberArray<Values>, bytes: Bytes): Values {
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % kind.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new kind(buffer, byteOffset, byteLength / kind.BYTES_PER_ELEMENT);
}

/** Every bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

let float16Values: Float32Array | undefined;

/** Looks each number up in a table of all 65,536. Every float16 is exact in float32. */
function widenFloat16(halves: Uint16Array): Float32Array {
  float16Values ??= Float32Array.from({ length: 0x10000 }, (_, bits) => float16Value(bits));
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = float16Values[halves[i]!]!;
  return values;
}

/** 1 sign bit, 5 exponent bits, 10 fraction bits. Source: IEEE 754 binary16. */
function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24; // subnormal
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * Little-endian bytes → numbers without loss: F64 stays double, F32, F16 and BF16 become float32.
 *
 * @throws CheckpointError (WrongDtype) for integers, UnsupportedError for the small float formats and complex numbers.
 */
export function decodeFloats(name: string, dtype: string, bytes: Bytes): Float32Array | Float64Array {
  const decode = floatReaders.get(dtype);
  if (decode) return decode(bytes);
  throw wrongDtype(name, dtype, [...floatReaders.keys()]);
}

/**
 * Little-endian bytes → int32, which is what ids and masks are here, whatever width the file has.
 *
 * @throws CheckpointError (WrongDtype) for floats, (IntegerOutOfRange) naming the first element that does not fit;
 *   UnsupportedError as above.
 */
export function decodeIntegers(name: string, dtype: string, bytes: Bytes): Int32Array {
  const decode = integerReaders.get(dtype);
  if (!decode) throw wrongDtype(name, dtype, [...integerReaders.keys()]);
  const values = decode(bytes);
  const narrowed = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    if (value !== (value | 0)) {
      throw new CheckpointError({
        where: 'safetensors',
        name: `${name}[${i}]`,
        expected: 'an integer in -2147483648..2147483647',
        got: String(values[i]),
        reason: 'IntegerOutOfRange',
      });
    }
    narrowed[i] = value;
  }
  return narrowed;
}

function wrongDtype(name: string, dtype: string, expected: string[]): CheckpointError | UnsupportedError {
  const complaint = { where: 'safetensors', name, expected: `dtype ${expected.join(', ')}`, got: dtype };
  if (floatReaders.has(dtype) || integerReaders.has(dtype)) {
    return new CheckpointError({ ...complaint, reason: 'WrongDtype' });
  }
  return new UnsupportedError({ ...complaint, hint: 'convert the checkpoint to F32, F16 or BF16.' });
}

/**
 * @throws CheckpointError (NotFinite) naming the first NaN or infinity.
 */
export function expectFinite(name: string, values: Float32Array | Float64Array): void {
  if (allFinite(values)) return;
  const i = values.findIndex(value => !Number.isFinite(value));
  throw new CheckpointError({
    where: 'safetensors',
    name: `${name}[${i}]`,
    expected: 'a finite number',
    got: String(values[i]),
    reason: 'NotFinite',
  });
}

/**
 * NaN and both infinities are the only numbers that 0 times them is not 0, and a sum keeps the NaN. Four sums, because one would
 * wait for its last addition: hundreds of megabytes go through here.
 */
function allFinite(values: Float32Array | Float64Array): boolean {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
  const whole = values.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    sum0 += values[i]! * 0;
    sum1 += values[i + 1]! * 0;
    sum2 += values[i + 2]! * 0;
    sum3 += values[i + 3]! * 0;
  }
  for (let i = whole; i < values.length; i++) sum0 += values[i]! * 0;
  return sum0 + sum1 + sum2 + sum3 === 0;
}

/** Numbers or raw bytes a tensor can be written from. */
export type WritableData = Float64Array | Float32Array | Int32Array | BigInt64Array | Uint8Array;

/**
 * Numbers → little-endian bytes of a dtype. A Uint8Array is taken as the bytes themselves, for any dtype.
 *
 * F64 and F32 from any floats (F64 → F32 rounds once); I64 from Int32Array or BigInt64Array, I32 from Int32Array; others only from bytes.
 * @throws UnsupportedError for any other pair.
 */
export function encodeElements(name: string, dtype: string, data: WritableData): Uint8Array {
  if (data instanceof Uint8Array) return data;
  const floats = data instanceof Float64Array || data instanceof Float32Array;
  if (dtype === 'F64' && floats) return bytesOf(data instanceof Float64Array ? data : new Float64Array(data));
  if (dtype === 'F32' && floats) return bytesOf(data instanceof Float32Array ? data : new Float32Array(data));
  if (dtype === 'I64' && !floats) {
    return bytesOf(data instanceof BigInt64Array ? data : BigInt64Array.from(data, BigInt));
  }
  if (dtype === 'I32' && data instanceof Int32Array) return bytesOf(data);
  const kind = data.constructor.name;
  const expected = `data that can be written as ${dtype}`;
  const hint = 'F64 and F32 take floats, I64 and I32 integers; any dtype takes its bytes as Uint8Array.';
  throw new UnsupportedError({ where: 'writeSafetensors', name, expected, got: kind, hint });
}

const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
