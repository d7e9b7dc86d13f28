import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { TokenizerError } from '../../contract/errors.ts';
import { tokenizeCommand } from './tokenize.ts';

const model = fileURLToPath(new URL('../../conformance/models/tokenizer-gpt2', import.meta.url));

async function run(...args: string[]): Promise<string> {
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation(text => {
    printed += String(text);
    return true;
  });
  await tokenizeCommand()
    .exitOverride()
    .parseAsync(['--model', model, ...args], { from: 'user' });
  return printed;
}

afterEach(() => {
  vi.restoreAllMocks();
});

test('one line per token: id, token, span, text', async () => {
  expect(await run('Hello world', '--pair', 'wörld\u001b')).toBe(
    [
      '       0  <s>',
      '   15500  Hello                 0..5          Hello',
      '     999  Ġworld                6..11         world',
      '       2  </s>',
      '       2  </s>',
      '      90  w                     0..1          w',
      '   30574  Ã¶r                   1..3          ör',
      '     339  ld                    3..5          ld',
      '     219  ě                     5..6          \\u{1b}',
      '       2  </s>',
      '',
    ].join('\n'),
  );
});

test('--json has every window', async () => {
  const { windows } = JSON.parse(await run('a b c d', '--max-length', '5', '--stride', '1', '--json'));
  expect(windows.map((window: { tokens: string[] }) => window.tokens.join(' '))).toEqual([
    '<s> a Ġb Ġc </s>',
    '<s> Ġc Ġd </s>',
  ]);
  expect(windows[1].offsets).toEqual([
    [0, 0],
    [4, 5],
    [6, 7],
    [0, 0],
  ]);
  expect(windows[1].sequenceIds).toEqual([null, 0, 0, null]);
});

test('errors of the tokenizer come out as they are', async () => {
  await expect(run('a', '--max-length', '1')).rejects.toThrow(TokenizerError);
  await expect(run('a', '--model', '/no/such/directory')).rejects.toThrow(TokenizerError);
});
