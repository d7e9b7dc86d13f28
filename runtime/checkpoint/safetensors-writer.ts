/**
 * Writes safetensors files, whole or piece by piece.
 *
 * Piece by piece: all names and shapes first, which fixes the header and every offset, then the data in any order. So a file of
 * any size is written with one piece of it in memory. Same tensors, same bytes: nothing depends on the order of the calls.
 */
import { ShapeError, ValueRangeError } from '../../contract/errors.ts';
import { dtypeBits, encodeElements, type WritableData } from './dtypes.ts';

export interface TensorDeclaration {
  readonly name: string;
  /** F64, F32, I64, I32 from numbers; any other dtype of whole bytes from its bytes. */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Somewhere bytes go. Nothing is visible to others before `commit`, and nothing remains after `discard`. */
export interface ByteSink {
  write(position: number, bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

export interface SafetensorsWriter {
  /**
   * Writes elements [elementOffset, elementOffset + data.length) of a tensor. Pieces may come in any order, each element once.
   * A Uint8Array holds bytes, whole elements of them.
   * @throws ValueRangeError for an unknown name, a piece outside the tensor or over another; UnsupportedError; IoError.
   */
  write(name: string, elementOffset: number, data: WritableData): Promise<void>;
  /**
   * Makes the file visible under its name.
   * @throws ShapeError when an element was never written, IoError. Nothing is left behind then.
   */
  finish(): Promise<void>;
  /** Gives up: nothing is left behind. Does nothing after finish or a second time. */
  abort(): Promise<void>;
}

interface Place {
  readonly name: string;
  readonly dtype: string;
  readonly elements: number;
  readonly bytesPerElement: number;
  /** From the start of the file. */
  readonly byteOffset: number;
}

interface Layout {
  readonly header: Uint8Array;
  readonly places: ReadonlyMap<string, Place>;
  readonly fileBytes: number;
}

/** With the flag u, pairs are one character and do not match. */
const loneSurrogate = /\p{Surrogate}/u;

/**
 * Header and places. Wide dtypes come first and names are sorted within a width, as the crate does, so every tensor begins at
 * a multiple of its width; the header is padded with spaces to a multiple of 8.
 *
 * @throws ValueRangeError for a name used twice or reserved, text that is not Unicode, an unknown dtype or an impossible shape.
 */
function layOut(tensors: readonly TensorDeclaration[], metadata: ReadonlyMap<string, string>): Layout {
  const sorted = tensors.map(tensor => ({ ...tensor, bits: expectDeclaration(tensor) }));
  sorted.sort((a, b) => b.bits - a.bits || (a.name < b.name ? -1 : 1));
  let end = 0;
  const entries: [string, unknown][] = metadata.size > 0 ? [['__metadata__', Object.fromEntries(metadata)]] : [];
  const relative = new Map<string, Omit<Place, 'byteOffset'> & { begin: number }>();
  for (const { name, dtype, shape, bits } of sorted) {
    if (relative.has(name)) throw invalid(name, 'a name of its own', 'it twice');
    const elements = shape.reduce((product, extent) => product * extent, 1);
    const bytesPerElement = bits / 8;
    const begin = end;
    end += elements * bytesPerElement;
    if (end > Number.MAX_SAFE_INTEGER) throw invalid(name, 'at most 2^53-1 bytes in all', String(end));
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
    relative.set(name, { name, dtype, elements, bytesPerElement, begin });
  }
  if ([...metadata].flat().some(text => loneSurrogate.test(text))) {
    throw invalid('__metadata__', 'well-formed Unicode', 'a lone surrogate');
  }
  // Written pair by pair: an object would move names like "7" to the front and lose "__proto__".
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  const places = new Map(
    [...relative].map(([name, place]) => [name, { ...place, byteOffset: header.length + place.begin }]),
  );
  return { header, places, fileBytes: header.length + end };
}

/** Bits of an element. */
function expectDeclaration({ name, dtype, shape }: TensorDeclaration): number {
  const bits = dtypeBits(dtype) ?? 0;
  if (name === '__metadata__') throw invalid(name, 'a name that is not reserved', 'it');
  if (loneSurrogate.test(name)) throw invalid(name, 'well-formed Unicode', 'a lone surrogate');
  if (bits < 8) throw invalid(name, 'a dtype of whole bytes', dtype);
  const bad = shape.findIndex(extent => !Number.isSafeInteger(extent) || extent < 0);
  if (bad >= 0) throw invalid(`${name}.shape[${bad}]`, 'an integer >= 0', String(shape[bad]));
  return bits;
}

function invalid(name: string, expected: string, got: string): ValueRangeError {
  return new ValueRangeError({ where: 'writeSafetensors', name, expected, got });
}

/**
 * A file of these tensors, in memory.
 *
 * @throws ShapeError when data does not fit its shape, ValueRangeError, UnsupportedError.
 */
export function writeSafetensors(
  tensors: readonly (TensorDeclaration & { readonly data: WritableData })[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array<ArrayBuffer> {
  const { header, places, fileBytes } = layOut(tensors, metadata);
  const encoded = tensors.map(({ name, dtype, data }) => {
    const place = places.get(name)!;
    const bytes = encodeElements(name, dtype, data);
    const elements = bytes.length / place.bytesPerElement;
    if (elements !== place.elements) throw wrongLength(name, `${place.elements} elements`, String(elements));
    return { bytes, byteOffset: place.byteOffset };
  });
  const file = new Uint8Array(fileBytes);
  file.set(header);
  for (const { bytes, byteOffset } of encoded) file.set(bytes, byteOffset);
  return file;
}

function wrongLength(name: string, expected: string, got: string): ShapeError {
  return new ShapeError({ where: 'writeSafetensors', name, expected, got });
}

/**
 * Begins a file: the header is written at once. The sink is discarded when that fails.
 *
 * @throws ValueRangeError, IoError
 */
export async function createSafetensorsWriter(
  sink: ByteSink,
  tensors: readonly TensorDeclaration[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<SafetensorsWriter> {
  let open = true;
  /** Runs a step; when the sink fails, nothing of the file stays. */
  const orDiscard = async <Result>(step: () => Promise<Result> | Result): Promise<Result> => {
    try {
      return await step();
    } catch (error) {
      open = false;
      await sink.discard();
      throw error;
    }
  };
  const { places } = await orDiscard(async () => {
    const layout = layOut(tensors, metadata);
    await sink.write(0, layout.header);
    return layout;
  });
  const written = new Map([...places.keys()].map(name => [name, new Ranges()]));
  const expectOpen = (): void => {
    if (!open) throw invalid('writer', 'to be open', 'a finished, aborted or failed one');
  };
  return {
    async write(name, elementOffset, data) {
      expectOpen();
      const place = places.get(name);
      if (!place) throw invalid(name, 'a declared tensor', 'another name');
      const bytes = encodeElements(name, place.dtype, data);
      const end = elementOffset + bytes.length / place.bytesPerElement;
      const inside = Number.isInteger(elementOffset) && Number.isInteger(end) && elementOffset >= 0;
      const range = `${elementOffset}..${end}`;
      if (!inside || end > place.elements) throw invalid(name, `elements inside 0..${place.elements}`, range);
      if (!written.get(name)!.add(elementOffset, end)) throw invalid(name, 'each element once', `${range} again`);
      await orDiscard(() => sink.write(place.byteOffset + elementOffset * place.bytesPerElement, bytes));
    },
    async finish() {
      expectOpen();
      await orDiscard(() => {
        for (const { name, elements } of places.values()) {
          const gap = written.get(name)!.firstGap();
          if (gap < elements) throw wrongLength(name, `all ${elements} elements`, `none at ${gap}`);
        }
        return sink.commit();
      });
      open = false;
    },
    async abort() {
      if (!open) return;
      open = false;
      await sink.discard();
    },
  };
}

/** Which elements are there, as ranges without neighbours: one entry for a tensor that is written front to back. */
class Ranges {
  readonly #ranges: { begin: number; end: number }[] = [];

  /** False, and nothing changes, when a part of [begin, end) is there already. */
  add(begin: number, end: number): boolean {
    if (begin === end) return true;
    const ranges = this.#ranges;
    let next = ranges.findLastIndex(range => range.begin < end) + 1;
    const before = ranges[next - 1];
    if (before && before.end > begin) return false;
    const after = ranges[next];
    if (before?.end === begin) {
      before.end = end;
      next--;
    } else ranges.splice(next, 0, { begin, end });
    if (after?.begin === end) {
      ranges[next]!.end = after.end;
      ranges.splice(next + 1, 1);
    }
    return true;
  }

  /** The first element that is not there; the end when all are. */
  firstGap(): number {
    const first = this.#ranges[0];
    return first?.begin === 0 ? first.end : 0;
  }
}
