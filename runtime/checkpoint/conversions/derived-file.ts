/** Tensors under other names, or rows of them, as a TensorFile of its own. Nothing is read before it is asked for. */
import { CheckpointError } from '../../../contract/errors.ts';
import { decodeFloats, dtypeBits } from '../dtypes.ts';
import type { TensorFile, TensorInfo } from '../safetensors.ts';

/** Where a tensor of the new file comes from. */
export interface Derived {
  /** Its name in the old file. */
  readonly from: string;
  /** Rows of it, in this order; all when absent. */
  readonly rows?: readonly number[];
}

export function deriveFile(
  file: TensorFile,
  entries: ReadonlyMap<string, Derived>,
  remarks: readonly string[],
): TensorFile {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { from, rows }] of entries) {
    const info = file.info(from);
    if (!rows) {
      tensors.set(name, { ...info, name });
      continue;
    }
    const shape = [rows.length, ...info.shape.slice(1)];
    tensors.set(name, { ...info, name, shape, byteLength: (info.byteLength / info.shape[0]!) * rows.length });
  }
  const derived = (name: string): Derived => {
    const entry = entries.get(name);
    if (entry) return entry;
    const got = 'nothing';
    throw new CheckpointError({
      where: 'deriveFile',
      name,
      expected: 'to be in the file',
      got,
      reason: 'TensorNotFound',
    });
  };

  /** The chosen rows, one after another. */
  async function gather(name: string, from: string, rows: readonly number[]): Promise<Uint8Array<ArrayBuffer>> {
    const source = await file.bytes(from);
    const rowBytes = source.length / file.info(from).shape[0]!;
    const out = new Uint8Array(tensors.get(name)!.byteLength);
    for (const [at, row] of rows.entries())
      out.set(source.subarray(row * rowBytes, (row + 1) * rowBytes), at * rowBytes);
    return out;
  }

  return {
    tensors,
    metadata: file.metadata,
    remarks: [...file.remarks, ...remarks],
    info: name => {
      derived(name);
      return tensors.get(name)!;
    },
    async bytes(name, begin = 0, end = tensors.get(name)?.byteLength) {
      const { from, rows } = derived(name);
      return rows ? (await gather(name, from, rows)).slice(begin, end) : file.bytes(from, begin, end);
    },
    async floats(name, scratch) {
      const { from, rows } = derived(name);
      if (!rows) return file.floats(from, scratch);
      const { dtype, shape } = tensors.get(name)!;
      return { shape, data: decodeFloats(name, dtype, await gather(name, from, rows)) };
    },
    integers: name => file.integers(derived(name).from),
    close: () => file.close(),
  };
}

/** Whether two tensors have the same bytes, compared in pieces. */
export async function sameTensor(file: TensorFile, a: string, b: string): Promise<boolean> {
  const [left, right] = [file.info(a), file.info(b)];
  if (left.dtype !== right.dtype || left.byteLength !== right.byteLength) return false;
  const piece = (1 << 22) * (dtypeBits(left.dtype)! / 8);
  for (let begin = 0; begin < left.byteLength; begin += piece) {
    const end = Math.min(begin + piece, left.byteLength);
    const [one, other] = [await file.bytes(a, begin, end), await file.bytes(b, begin, end)];
    if (one.some((byte, at) => byte !== other[at])) return false;
  }
  return true;
}
