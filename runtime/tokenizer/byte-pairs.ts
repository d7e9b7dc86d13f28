/**
 * Byte-pair encoding of one word: its bytes are merged pair by pair, lowest rank first, leftmost first among equals.
 *
 * Why not the class BPE of @huggingface/tokenizers: it is right, but keeps an object and a JSON text per byte, which for one
 * word of two million Chinese characters is 15 s and more memory than the engine gives (it ends the process). Here a word
 * costs about 30 bytes per byte and O(n log n). The package remains the twin that the tests compare with.
 */
import { byteSymbols } from './byte-symbols.ts';

/** Words this long (UTF-16 code units) or longer are not remembered: they seldom come again. */
const rememberedLength = 256;
/** Remembered words; the memory is emptied when full. */
const rememberedWords = 20_000;
/** Position bits of a heap key; rank * 2^28 + position stays an exact integer up to rank 2^25. */
const positionRange = 2 ** 28;

export class BytePairs {
  readonly #byteIds: Int32Array; // (256) id of each single byte
  readonly #ranks = new Map<number, Map<number, number>>(); // left id → right id → rank
  readonly #mergedIds: Int32Array; // (merges) id of the union
  readonly #wholeWords: ReadonlyMap<string, number> | null;
  readonly #remembered = new Map<string, Int32Array>();
  readonly #utf8 = new TextEncoder();
  readonly #fromUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

  /** Trusts its arguments: load.ts has checked that every byte, part and union is in the vocabulary. */
  constructor(
    vocab: ReadonlyMap<string, number>,
    merges: readonly (readonly [string, string])[],
    ignoreMerges: boolean,
  ) {
    this.#byteIds = Int32Array.from(byteSymbols, symbol => vocab.get(symbol)!);
    this.#mergedIds = new Int32Array(merges.length);
    this.#wholeWords = ignoreMerges ? vocab : null;
    for (const [rank, [left, right]] of merges.entries()) {
      const leftId = vocab.get(left)!;
      let ofLeft = this.#ranks.get(leftId);
      if (ofLeft === undefined) {
        ofLeft = new Map();
        this.#ranks.set(leftId, ofLeft);
      }
      ofLeft.set(vocab.get(right)!, rank); // a pair named twice has its last rank, as in HF
      this.#mergedIds[rank] = vocab.get(left + right)!;
    }
  }

  /** Ids of one word, in order. The result may be shared with later calls: read only. */
  encode(word: string): Int32Array {
    const known = this.#remembered.get(word);
    if (known !== undefined) return known;
    const bytes = this.#utf8.encode(word);
    const ids = this.#encodeBytes(bytes);
    if (word.length < rememberedLength) {
      if (this.#remembered.size >= rememberedWords) this.#remembered.clear();
      // Subtle: a slice may keep its whole document alive; a string made from the bytes does not.
      this.#remembered.set(this.#fromUtf8.decode(bytes), ids);
    }
    return ids;
  }

  #encodeBytes(bytes: Uint8Array): Int32Array {
    if (this.#wholeWords !== null) {
      let symbols = '';
      for (const byte of bytes) symbols += byteSymbols[byte];
      const id = this.#wholeWords.get(symbols);
      if (id !== undefined) return Int32Array.of(id);
    }
    return this.#merge(Int32Array.from(bytes, byte => this.#byteIds[byte]!));
  }

  /** ids: (bytes), overwritten. A merged pair lives on at its left position; its right one becomes -1. */
  #merge(ids: Int32Array): Int32Array {
    const count = ids.length;
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    const heap: number[] = [];
    for (let at = 0; at < count; at++) {
      next[at] = at + 1;
      previous[at] = at - 1;
      if (at + 1 < count) this.#offer(heap, ids, at, at + 1);
    }
    let left = count;
    while (heap.length > 0) {
      const key = takeSmallest(heap);
      const rank = Math.floor(key / positionRange);
      const at = key % positionRange;
      const right = next[at]!;
      // Out of date when one of the two has been merged since: then the pair has another rank, or none.
      if (ids[at] === -1 || right === count || this.#ranks.get(ids[at]!)?.get(ids[right]!) !== rank) continue;
      ids[at] = this.#mergedIds[rank]!;
      ids[right] = -1;
      left--;
      const after = next[right]!;
      next[at] = after;
      if (after < count) {
        previous[after] = at;
        this.#offer(heap, ids, at, after);
      }
      if (previous[at]! >= 0) this.#offer(heap, ids, previous[at]!, at);
    }
    const merged = new Int32Array(left);
    for (let at = 0, out = 0; at < count; at = next[at]!) merged[out++] = ids[at]!;
    return merged;
  }

  #offer(heap: number[], ids: Int32Array, at: number, right: number): void {
    const rank = this.#ranks.get(ids[at]!)?.get(ids[right]!);
    if (rank !== undefined) insert(heap, rank * positionRange + at);
  }
}

/** Adds a key to a binary heap with the smallest key first. */
function insert(heap: number[], key: number): void {
  let at = heap.length;
  heap.push(key);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= key) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = key;
}

/** Removes and returns the smallest key of a heap that is not empty. */
function takeSmallest(heap: number[]): number {
  const smallest = heap[0]!;
  const key = heap.pop()!;
  const size = heap.length;
  if (size === 0) return smallest;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= key) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = key;
  return smallest;
}
