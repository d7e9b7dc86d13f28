"""Writes runtime/tokenizer/character-classes.ts: what the ByteLevel pattern of `tokenizers` takes for a letter, a number,
a blank or anything else.

The classes are measured, not looked up: every code point is put before "a", "1" and "#" and the library shows with which
of them it stays in one word. So the table holds exactly what that version of its regular expressions knows of Unicode.

Usage: python character_classes.py [output file]
"""

import pathlib
import sys

import tokenizers
from tokenizers import pre_tokenizers

LETTER, NUMBER, BLANK = "letter", "number", "blank"


def measure():
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)

    def joins(character, neighbour):
        return len(words.pre_tokenize_str(character + neighbour)) == 1

    classes = {LETTER: [], NUMBER: [], BLANK: []}
    for code_point in range(0x110000):
        if 0xD800 <= code_point < 0xE000:
            continue  # surrogates: no characters
        character = chr(code_point)
        if character == " ":
            classes[BLANK].append(code_point)  # the only blank that joins what follows
        elif joins(character, "a"):
            classes[LETTER].append(code_point)
        elif joins(character, "1"):
            classes[NUMBER].append(code_point)
        elif not joins(character, "#"):
            classes[BLANK].append(code_point)
    return classes


def base36(number):
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if number == 0:
            return digits


def pack(code_points):
    """Runs as "gap length" in base 36; the gap is counted from the end of the run before."""
    runs = []
    for code_point in code_points:
        if runs and runs[-1][1] == code_point:
            runs[-1][1] += 1
        else:
            runs.append([code_point, code_point + 1])
    words, previous = [], 0
    for start, end in runs:
        words += [base36(start - previous), base36(end - start)]
        previous = end
    return words


def as_typescript(name, words):
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) + 1 > 110:
            lines.append(line)
            line = ""
        line += word + " "
    lines.append(line.rstrip())
    if len(lines) == 1:
        return f"const {name} = '{lines[0]}';\n"
    return f"const {name} =\n  " + " +\n  ".join(f"'{part}'" for part in lines) + ";\n"


HEAD = """/**
 * Letters, numbers and blanks as the word pattern of byte-level BPE knows them. Written by
 * conformance/generate/character_classes.py, which measured tokenizers %s; do not edit.
 *
 * Why a table and not \\\\p{L}: the JavaScript engine's Unicode is newer or older than the one the vocabulary's users run, and
 * its \\\\s disagrees about U+0085 and U+FEFF. One code point in another class moves every id after it.
 */

export const LETTER = 1;
export const NUMBER = 2;
export const BLANK = 3;
export const OTHER = 0;

// Runs of code points as "gap length" in base 36; a gap is counted from the end of the run before.
"""

TAIL = """
let classes: Uint8Array | undefined;

/** (0x110000) Class of every code point: LETTER, NUMBER, BLANK or OTHER. Built when first asked for, 1.1 MB. */
export function characterClasses(): Uint8Array {
  if (classes === undefined) {
    classes = new Uint8Array(0x110000);
    fill(classes, letters, LETTER);
    fill(classes, numbers, NUMBER);
    fill(classes, blanks, BLANK);
  }
  return classes;
}

function fill(table: Uint8Array, runs: string, kind: number): void {
  const words = runs.split(' ');
  let start = 0;
  for (let run = 0; run < words.length; run += 2) {
    start += Number.parseInt(words[run]!, 36);
    const end = start + Number.parseInt(words[run + 1]!, 36);
    table.fill(kind, start, end);
    start = end;
  }
}
"""


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "runtime/tokenizer/character-classes.ts"
    classes = measure()
    text = (HEAD % tokenizers.__version__).replace("\\\\", "\\")
    for name, kind in (("letters", LETTER), ("numbers", NUMBER), ("blanks", BLANK)):
        text += as_typescript(name, pack(classes[kind]))
    target.write_text(text + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
