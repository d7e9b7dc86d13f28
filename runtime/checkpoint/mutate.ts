/** Damage for fuzzing, the same for the same seed: fuzz.ts, pytorch/fuzz-pytorch.ts. */

/** Whole numbers below a bound, the same for the same seed. Source: mulberry32. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/**
 * One to four changes: bits flipped, bytes set, pieces removed, doubled, taken from other seeds, tokens put in.
 *
 * tokens: what the parser trips over.
 */
export function mutate(
  seed: Uint8Array,
  seeds: readonly Uint8Array[],
  tokens: readonly Uint8Array[],
  random: (below: number) => number,
): Uint8Array {
  let bytes = seed.slice();
  for (let changes = 1 + random(1 + random(4)); changes > 0; changes--) {
    const at = random(bytes.length + 1);
    const end = Math.min(bytes.length, at + random(12));
    const splice = (from: number, to: number, middle: Uint8Array): void => {
      const changed = new Uint8Array(bytes.length - (to - from) + middle.length);
      changed.set(bytes.subarray(0, from));
      changed.set(middle, from);
      changed.set(bytes.subarray(to), from + middle.length);
      bytes = changed;
    };
    const other = seeds[random(seeds.length)]!;
    const from = random(other.length);
    switch (random(8)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = random(256);
        break;
      case 2:
        splice(at, end, new Uint8Array());
        break;
      case 3:
        splice(at, at, bytes.slice(at, end));
        break;
      case 4:
        splice(at, end, other.subarray(from, from + random(40)));
        break;
      case 5:
      case 6: {
        // Another small digit for one that is there: shapes and offsets that are nearly right.
        const digit = bytes.findIndex((byte, place) => place >= at && byte >= 0x30 && byte <= 0x39);
        if (digit >= 0) bytes[digit] = 0x30 + random(10);
        break;
      }
      default:
        splice(at, random(2) ? at : end, tokens[random(tokens.length)]!);
    }
  }
  return bytes;
}
