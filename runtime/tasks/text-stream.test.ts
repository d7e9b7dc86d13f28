import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadTokenizer } from '../tokenizer/index.ts';
import { TextStream } from './text-stream.ts';

const tokenizerJson = readFileSync(
  new URL('../../conformance/models/tokenizer-small/tokenizer.json', import.meta.url),
  'utf8',
);
const tokenizer = loadTokenizer({ tokenizerJson });

test.each(['one two three', 'a😀b', '日本語 and ümlauts', '😀'])('pieces of "%s" are the text', text => {
  const stream = new TextStream(tokenizer);
  const pieces = [...tokenizer.encode(text).inputIds].map(id => stream.push(id));
  expect(pieces.join('') + stream.end()).toBe(text);
  for (const piece of pieces) expect(piece).not.toContain('\ufffd');
});

test('bytes that never become a character come out at the end', () => {
  const stream = new TextStream(tokenizer);
  const [first] = tokenizer.encode('😀', { addSpecialTokens: false }).inputIds;
  expect(stream.push(first!)).toBe('');
  expect(stream.end()).toBe('\ufffd');
  expect(stream.end()).toBe('');
});
