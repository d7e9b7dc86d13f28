import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TokenizerError } from '../../contract/index.ts';
import { byteSymbols } from './byte-symbols.ts';
import { loadTokenizer, type TokenizerFiles } from './load.ts';
import { loadTokenizerFromDirectory } from './load-node.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests write wrong things into it
type Json = any;

/** The smallest tokenizer: bytes, one merge, the special tokens. */
function smallest(): Json {
  const tokens = ['<s>', '<pad>', '</s>', '<unk>', ...byteSymbols, 'ab', '<mask>'];
  const special = (content: string, lstrip = false): Json => ({
    id: tokens.indexOf(content),
    content,
    single_word: false,
    lstrip,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special('<s>'), special('<pad>'), special('</s>'), special('<unk>'), special('<mask>', true)],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['</s>', 2],
      cls: ['<s>', 0],
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [['a', 'b']] },
  };
}

const load = (json: Json, more: TokenizerFiles = {}) => loadTokenizer({ tokenizerJson: JSON.stringify(json), ...more });
const encode = (json: Json, text: string, more: TokenizerFiles = {}): string[] => {
  const tokenizer = load(json, more);
  return Array.from(tokenizer.encode(text, { addSpecialTokens: false }).inputIds, id => tokenizer.idToToken(id)!);
};

test('the smallest tokenizer', () => {
  expect(encode(smallest(), 'ab b<mask>')).toEqual(['ab', 'Ġ', 'b', '<mask>']);
});

test('vocab.json and merges.txt make the same tokenizer', () => {
  const { vocab } = smallest().model;
  const built = loadTokenizer({ vocabJson: JSON.stringify(vocab), mergesText: '#version: 0.2\na b\n' });
  expect(built.definition).toEqual(load(smallest()).definition);
});

test('special_tokens_map.json renames and strips, tokenizer_config.json goes before it', () => {
  const { vocab } = smallest().model;
  const tokenizer = loadTokenizer({
    vocabJson: JSON.stringify(vocab),
    mergesText: 'a b',
    specialTokensMapJson: '{"mask_token": {"content": "[M]", "lstrip": false}, "pad_token": "[P]"}',
    tokenizerConfigJson: '{"pad_token": "<pad>", "model_max_length": 4096, "add_prefix_space": true}',
  });
  expect(tokenizer.specialTokens).toMatchObject({ mask: 262, pad: 1 });
  expect(tokenizer.idToToken(262)).toBe('[M]'); // the vocabulary lacks it, so it gets the next id
  expect(tokenizer.modelMaxLength).toBe(4096);
  const { inputIds } = tokenizer.encode('ab [M]', { addSpecialTokens: false });
  expect(Array.from(inputIds, id => tokenizer.idToToken(id))).toEqual(['Ġ', 'ab', 'Ġ', '[M]']);
});

test('added_tokens_decoder of tokenizer_config.json adds tokens to vocab.json, with ids and flags', () => {
  const { vocab } = smallest().model;
  const decoder = {
    260: { content: 'ab', single_word: true, special: false },
    261: { content: '<mask>', lstrip: false, special: true },
    300: { content: '<new>', rstrip: true, special: true },
  };
  const tokenizer = loadTokenizer({
    vocabJson: JSON.stringify(vocab),
    mergesText: 'a b',
    tokenizerConfigJson: JSON.stringify({ added_tokens_decoder: decoder }),
  });
  const { inputIds } = tokenizer.encode('ab a<new>  <mask>', { addSpecialTokens: false });
  expect(Array.from(inputIds, id => tokenizer.idToToken(id))).toEqual(['ab', 'Ġ', 'a', '<new>', '<mask>']);
  expect(tokenizer.tokenToId('<new>')).toBe(300);
});

test('add_prefix_space and trim_offsets of tokenizer_config.json go before those of tokenizer.json, as in transformers', () => {
  const tokenizerConfigJson = '{"add_prefix_space": true, "trim_offsets": false, "model_max_length": 1e30}';
  const { definition, modelMaxLength } = load(smallest(), { tokenizerConfigJson });
  expect(definition).toMatchObject({ addPrefixSpace: true, trimKeepsFirstBlank: true, trimOffsets: false });
  expect(modelMaxLength).toBeNull();
});

test('merges may be texts, as older files have them', () => {
  const json = smallest();
  json.model.merges = ['a b'];
  delete json.model.type;
  expect(encode(json, 'ab')).toEqual(['ab']);
});

const unsupportedHint =
  '\n  Hint: only byte-level BPE as saved by RobertaTokenizer, LongformerTokenizer or LEDTokenizer can be read.';

describe('what cannot be honoured is refused by name', () => {
  test.each<[string, (json: Json) => void, string]>([
    [
      'another model',
      json => (json.model.type = 'Unigram'),
      '"model.type" expected BPE, got "Unigram", which is unsupported.',
    ],
    ['no model', json => delete json.model, '"model" expected an object, got nothing.'],
    [
      'a normalizer',
      json => (json.normalizer = { type: 'NFC' }),
      `"normalizer" expected none, got "NFC", which is unsupported.${unsupportedHint}`,
    ],
    [
      'another pre-tokenizer, with a pattern that is never compiled',
      json => (json.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated' }),
      `"pre_tokenizer" expected ByteLevel, got "Split", which is unsupported.${unsupportedHint}`,
    ],
    [
      'no pre-tokenizer',
      json => (json.pre_tokenizer = null),
      `"pre_tokenizer" expected ByteLevel, got null.${unsupportedHint}`,
    ],
    [
      'another post processor',
      json => (json.post_processor = { type: 'TemplateProcessing', single: [], pair: [] }),
      `"post_processor" expected RobertaProcessing, got "TemplateProcessing", which is unsupported.${unsupportedHint}`,
    ],
    [
      'another decoder',
      json => (json.decoder = { type: '__proto__' }),
      `"decoder" expected ByteLevel, got "__proto__", which is unsupported.${unsupportedHint}`,
    ],
    ['dropout', json => (json.model.dropout = 0.1), '"model.dropout" expected null, got 0.1.'],
    [
      'suffixes',
      json => (json.model.end_of_word_suffix = '</w>'),
      '"model.end_of_word_suffix" expected none, got "</w>", which is unsupported.',
    ],
    [
      'duplicate ids',
      json => (json.model.vocab.ab = 7),
      '"model.vocab["ab"]" expected an id of its own, got 7, which "ă" has too.',
    ],
    [
      'a negative id',
      json => (json.model.vocab.ab = -1),
      '"model.vocab["ab"]" expected an integer in 0..16777215, got -1.',
    ],
    [
      'an id that would cost gigabytes',
      json => (json.model.vocab.ab = 2 ** 31),
      '"model.vocab["ab"]" expected an integer in 0..16777215, got 2147483648.',
    ],
    [
      'an id that is no number',
      json => (json.model.vocab.ab = '7'),
      '"model.vocab["ab"]" expected an integer in 0..16777215, got "7".',
    ],
    [
      'an empty token',
      json => (json.model.vocab[''] = 999),
      '"model.vocab" expected a string that is not empty, got "".',
    ],
    [
      'a byte without a token',
      json => delete json.model.vocab.Ġ,
      '"model.vocab" expected a token for each of the 256 bytes, got none for 1 of them, first "Ġ".',
    ],
    [
      'a merge of unknown parts',
      json => (json.model.merges = [['a', 'xy']]),
      '"model.merges[0]" expected tokens of the vocabulary, got "xy".',
    ],
    [
      'a merge to an unknown token',
      json => (json.model.merges = [['b', 'a']]),
      '"model.merges[0]" expected tokens of the vocabulary, got "ba".',
    ],
    [
      'a merge of three',
      json => (json.model.merges = ['a b c']),
      '"model.merges[0]" expected two tokens, got "a b c".',
    ],
    [
      'a merge with nothing',
      json => (json.model.merges = [['a', '']]),
      '"model.merges[0]" expected a string that is not empty, got "".',
    ],
    ['merges that are none', json => (json.model.merges = 'a b'), '"model.merges" expected an array, got "a b".'],
    [
      'an empty added token',
      json => (json.added_tokens[0].content = ''),
      '"added_tokens[0].content" expected a string that is not empty, got "".',
    ],
    [
      'a very long added token',
      json => (json.added_tokens[0].content = 'a'.repeat(300)),
      '"added_tokens[0].content" expected at most 256 characters, got 300.',
    ],
    [
      'an added token twice',
      json => json.added_tokens.push(json.added_tokens[0]),
      '"added_tokens[5].content" expected a token of its own, got "<s>" again.',
    ],
    [
      'an added token under another id',
      json => (json.added_tokens[0].id = 500),
      '"added_tokens[0].id" expected 0, as in the vocabulary, got 500.',
    ],
    [
      'an added token under the id of another',
      json => json.added_tokens.push({ id: 0, content: 'x y' }),
      '"added_tokens[5].id" expected an id of its own, got 0, which "<s>" has too.',
    ],
    [
      'flags that are none',
      json => (json.added_tokens[4].lstrip = 'yes'),
      '"added_tokens[4].lstrip" expected true or false, got "yes".',
    ],
    [
      'a separator with a wrong id',
      json => (json.post_processor.sep = ['</s>', 3]),
      '"post_processor.sep" expected the id of "</s>" (2), got 3.',
    ],
    [
      'a negative truncation',
      json => (json.truncation = { max_length: -5 }),
      '"truncation.max_length" expected an integer >= 0, got -5.',
    ],
    [
      'a negative padding',
      json => (json.padding = { pad_to_multiple_of: -8 }),
      '"padding.pad_to_multiple_of" expected an integer >= 0, got -8.',
    ],
  ])('%s', (_, spoil, message) => {
    const json = smallest();
    spoil(json);
    expect(() => load(json)).toThrow(expect.objectContaining({ message: `loadTokenizer: ${message}` }));
    expect(() => load(json)).toThrow(TokenizerError);
  });

  test.each<[TokenizerFiles, string]>([
    [{}, '"files" expected tokenizer.json, or vocab.json and merges.txt, got none.'],
    [{ vocabJson: '{}' }, '"files" expected tokenizer.json, or vocab.json and merges.txt, got vocab.json only.'],
    [{ mergesText: '' }, '"files" expected tokenizer.json, or vocab.json and merges.txt, got merges.txt only.'],
    [{ tokenizerJson: '{' }, '"tokenizer.json" expected JSON, got a syntax error.'],
    [{ tokenizerJson: '[]' }, '"tokenizer.json" expected an object, got an array of 0.'],
    [
      { vocabJson: '{}', mergesText: 'a' },
      '"model.vocab" expected a token for each of the 256 bytes, got none for 256 of them, first "Ā".',
    ],
    [{ tokenizerJson: '{}', tokenizerConfigJson: 'null' }, '"tokenizer_config.json" expected an object, got null.'],
  ])('%j', (files, message) => {
    expect(() => loadTokenizer(files)).toThrow(expect.objectContaining({ message: `loadTokenizer: ${message}` }));
  });

  test('a file of more than 64 MB', () => {
    const tokenizerJson = ' '.repeat(64 * 1024 * 1024 + 1);
    expect(() => loadTokenizer({ tokenizerJson })).toThrow('expected at most 67108864 characters, got 67108865.');
  });

  test('whatever one value is replaced by, only typed errors come out', () => {
    const paths = ['model', 'added_tokens', 'pre_tokenizer', 'post_processor', 'decoder', 'normalizer', 'truncation'];
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.option(fc.string()), fc.jsonValue(), (path, key, value) => {
        const json = smallest();
        const keys = Object.keys(json[path] ?? {});
        if (key === null || keys.length === 0) json[path] = value;
        else json[path][keys[key.length % keys.length]!] = value;
        try {
          load(json).encode('ab <mask>');
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('from a directory', () => {
  test('vocab.json and merges.txt: GPT-2 with the special tokens of RoBERTa', async () => {
    const gpt2 = fileURLToPath(new URL('../../conformance/models/tokenizer-gpt2', import.meta.url));
    const tokenizer = await loadTokenizerFromDirectory(gpt2);
    expect(tokenizer.vocabSize).toBe(50261);
    expect(tokenizer.encode('Hello world').inputIds).toHaveLength(4);
  });

  test('a directory without tokenizer files, and a file that is no UTF-8', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tokenizer-'));
    try {
      await expect(loadTokenizerFromDirectory(directory)).rejects.toThrow('or vocab.json and merges.txt, got none.');
      await writeFile(join(directory, 'tokenizer.json'), Uint8Array.of(0x7b, 0xff, 0x7d));
      await expect(loadTokenizerFromDirectory(directory)).rejects.toThrow(
        'loadTokenizer: "tokenizer.json" expected a readable UTF-8 file, got ERR_ENCODING_INVALID_ENCODED_DATA.',
      );
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
