/**
 * Cuts text into the words that byte-level BPE works on, as GPT-2's regular expression does:
 *   's|'t|'re|'ve|'m|'ll|'d| ?letters+| ?numbers+| ?others+| blanks not before a word | blanks
 * By hand, because the engine's expression overflows its stack on one word of some million characters, and because its
 * Unicode classes are not those of Hugging Face (character-classes.ts).
 */
import { BLANK, characterClasses } from './character-classes.ts';

const apostrophe = 0x27;
const blank = 0x20;

/**
 * End of the word that starts at `start`, in UTF-16 code units; `end` is where the text ends.
 * Source: HF pre_tokenizers.ByteLevel with use_regex.
 */
export function wordEnd(text: string, start: number, end: number): number {
  const classes = characterClasses();
  const first = text.codePointAt(start)!;
  if (first === apostrophe) {
    const length = contractionLength(text, start + 1, end);
    if (length > 0) return start + 1 + length;
  }
  let at = start;
  let kind = classes[first]!;
  // A single blank belongs to the word after it.
  if (first === blank && start + 1 < end && classes[text.codePointAt(start + 1)!]! !== BLANK) {
    at = start + 1;
    kind = classes[text.codePointAt(at)!]!;
  }
  while (at < end) {
    const codePoint = text.codePointAt(at)!;
    if (classes[codePoint] !== kind) break;
    at += codePoint > 0xffff ? 2 : 1;
  }
  // Subtle: of several blanks before a word the last one is left over, for the word if it is ' ', else as a word of its own.
  return kind === BLANK && at < end && at - start > 1 ? at - 1 : at;
}

/** Letters after an apostrophe that go with it: s t m d re ve ll, lower case only. */
function contractionLength(text: string, at: number, end: number): number {
  if (at >= end) return 0;
  const first = text[at];
  if (first === 's' || first === 't' || first === 'm' || first === 'd') return 1;
  if (at + 1 >= end) return 0;
  const second = text[at + 1];
  return (first === 'r' && second === 'e') || (first === 'v' && second === 'e') || (first === 'l' && second === 'l')
    ? 2
    : 0;
}
