/**
 * Byte-level BPE writes every byte as one printable character, so that a vocabulary is a list of ordinary words: 'Ġ' is the
 * blank, 'Ċ' the newline. Source: GPT-2's encoder.
 */

const keepsItself = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

/** (256) Symbol of each byte. Bytes that are not printable get the characters from U+0100 on, in order. */
export const byteSymbols: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(keepsItself(byte) ? byte : next++));
})();

/** Byte of each symbol. */
export const symbolBytes: ReadonlyMap<string, number> = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));

/** What the blank looks like in a vocabulary. */
export const blankSymbol = byteSymbols[0x20]!;
