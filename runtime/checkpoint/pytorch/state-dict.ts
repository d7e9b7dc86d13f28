/**
 * The value of a pickle → the tensors of a state dict, each known to lie inside its storage. Nothing has been read yet.
 *
 * Read before: pickle.ts. Read next: open-pytorch.ts.
 */
import { CheckpointError, type CheckpointReason, formatShape } from '../../../contract/errors.ts';
import { dtypeBits } from '../dtypes.ts';
import { isTensor, type PickleValue, type TensorRef } from './pickle-values.ts';

const mostTensors = 100_000;
/** Other entries that are named one by one. */
const mostNamed = 10;
/** A tied table is in a file once and in the model up to four times. */
const mostCopies = 16;

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** What else is in it, in sentences without a full stop. */
  readonly remarks: readonly string[];
}

/**
 * The tensors by name: of a dictionary of tensors, or of one under "state_dict", as Lightning saves it.
 *
 * fileBytes: many views of one storage are a small file and a large model, so their sum is limited by the size of the file.
 * @throws CheckpointError InvalidPickle, TensorInvalidInfo, TooManyTensors
 */
export function stateDictOf(value: PickleValue, fileBytes: number): StateDict {
  const inner = value instanceof Map ? value.get('state_dict') : undefined;
  const dict = inner instanceof Map ? inner : value;
  if (!(dict instanceof Map)) return fail('state dict', 'InvalidPickle', 'a dictionary of tensors', 'something else');
  const tensors = new Map<string, TensorRef>();
  const others: string[] = [];
  for (const [name, entry] of dict) {
    if (typeof name !== 'string') return fail('state dict', 'InvalidPickle', 'names of tensors', `a ${kindOf(name)}`);
    if (isTensor(entry)) tensors.set(name, expectInside(name, entry));
    else others.push(name);
  }
  if (tensors.size > mostTensors)
    fail('state dict', 'TooManyTensors', `at most ${mostTensors} tensors`, String(tensors.size));
  const bytes = [...tensors.values()].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  if (bytes > mostCopies * fileBytes) {
    const expected = `tensors of at most ${mostCopies} times the ${fileBytes} bytes of the file`;
    fail('state dict', 'TensorInvalidInfo', expected, `${bytes} bytes`);
  }
  const remarks = others.slice(0, mostNamed).map(name => `"${name}" is no tensor and is left out`);
  if (others.length > mostNamed)
    remarks.push(`${others.length - mostNamed} more entries are no tensors and are left out`);
  return { tensors, remarks };
}

const kindOf = (key: PickleValue): string => (key !== null && typeof key === 'object' ? 'value' : typeof key);

export const widthOf = (dtype: string): number => dtypeBits(dtype)! / 8;

/** Elements of a shape. Subtle: a product of large extents and a zero could be NaN. */
export const countOf = (shape: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((product, extent) => product * extent, 1);

export const bytesOf = ({ storage, shape }: TensorRef): number => countOf(shape) * widthOf(storage.dtype);

/** The last element of a view that has any, counted from the start of its storage. */
export const lastOf = ({ offset, shape, strides }: TensorRef): number =>
  shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, offset);

/** A view must lie in its storage, and have no more elements than it: an expanded one would be terabytes from nothing. */
function expectInside(name: string, tensor: TensorRef): TensorRef {
  const { storage, shape, strides } = tensor;
  const elements = countOf(shape);
  const last = lastOf(tensor);
  if (elements > 0 && last >= storage.length) {
    fail(name, 'TensorInvalidInfo', `to end inside its storage of ${storage.length} elements`, `element ${last}`);
  }
  if (elements > storage.length) {
    const got = `${elements}: shape ${formatShape(shape)}, strides ${formatShape(strides)}`;
    fail(name, 'TensorInvalidInfo', `at most the ${storage.length} elements of its storage`, got);
  }
  return tensor;
}

/** Rows after one another, as safetensors has them. Axes of one element may have any stride. */
export function isContiguous({ shape, strides }: TensorRef): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** A transposed or strided view as rows after one another. bytes: the storage from the first element of the view to its last. */
export function gather(bytes: Uint8Array, { storage, shape, strides }: TensorRef): Uint8Array<ArrayBuffer> {
  const width = widthOf(storage.dtype);
  const count = countOf(shape);
  const out = new Uint8Array(count * width);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let element = 0; element < count; element++) {
    for (let byte = 0; byte < width; byte++) out[element * width + byte] = bytes[from * width + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: 'openPytorch', name, expected, got, reason });
}
