/**
 * tokenizer.json → TokenizerDefinition. Only what a byte-level BPE of the RoBERTa family needs is accepted; every other
 * building block is named in the error, and never skipped. No pattern from a file is ever compiled.
 */
import { byteSymbols } from './byte-symbols.ts';
import type { AddedToken, SpecialTokenIds, TokenizerDefinition } from './definition.ts';
import { asArray, asId, asObject, asToken, booleanField, complain, describe, field, type JsonObject } from './json.ts';

/** More than any vocabulary in use has by a factor of ten; heap keys of byte-pairs.ts are exact up to 2^25. */
const maxMerges = 10_000_000;
/** Every place of a text is compared with the added tokens, so their length is work for each character. */
const maxAddedTokenLength = 256;

/**
 * Source: the format written by HF `tokenizers`, and for tokenizerConfig what transformers' RobertaTokenizer reads from
 * tokenizer_config.json: `add_prefix_space` and `trim_offsets` there go before those of tokenizer.json.
 * Differs: `truncation` and `padding` blocks are checked but not used; transformers resets them on every call.
 * @throws TokenizerError
 */
export function parseTokenizer(json: JsonObject, tokenizerConfig: JsonObject): TokenizerDefinition {
  const model = parseModel(asObject('model', field(json, 'model')));
  const addedTokens = parseAddedTokens(asArray('added_tokens', field(json, 'added_tokens') ?? []), model.vocab);
  expectNumbers(json, 'truncation', ['max_length', 'stride']);
  expectNumbers(json, 'padding', ['pad_id', 'pad_type_id', 'pad_to_multiple_of']);
  if ((field(json, 'normalizer') ?? null) !== null) unsupported(json, 'normalizer', 'none');
  if (typeOf(json, 'decoder') !== 'ByteLevel') unsupported(json, 'decoder', 'ByteLevel');
  if (typeOf(json, 'pre_tokenizer') !== 'ByteLevel') unsupported(json, 'pre_tokenizer', 'ByteLevel');
  if (typeOf(json, 'post_processor') !== 'RobertaProcessing') unsupported(json, 'post_processor', 'RobertaProcessing');

  const words = field(json, 'pre_tokenizer') as JsonObject;
  const layout = field(json, 'post_processor') as JsonObject;
  const idOf = (token: string): number | undefined =>
    addedTokens.find(({ content }) => content === token)?.id ?? model.vocab.get(token);
  const clsId = parseLayoutToken('post_processor.cls', field(layout, 'cls'), idOf);
  const sepId = parseLayoutToken('post_processor.sep', field(layout, 'sep'), idOf);
  const config = 'tokenizer_config.json';
  const prefixOfFile = booleanField('pre_tokenizer', words, 'add_prefix_space', true);
  const prefixOfLayout = booleanField('post_processor', layout, 'add_prefix_space', true);
  const trimOfFile = booleanField('post_processor', layout, 'trim_offsets', true);
  return {
    ...model,
    addPrefixSpace: booleanField(config, tokenizerConfig, 'add_prefix_space', prefixOfFile),
    cutWords: booleanField('pre_tokenizer', words, 'use_regex', true),
    trimOffsets: booleanField(config, tokenizerConfig, 'trim_offsets', trimOfFile),
    trimKeepsFirstBlank: booleanField(config, tokenizerConfig, 'add_prefix_space', prefixOfLayout),
    addedTokens,
    clsId,
    sepId,
    specialTokens: specialTokenIds(tokenizerConfig, idOf, clsId, sepId),
    modelMaxLength: parseModelMaxLength(field(tokenizerConfig, 'model_max_length')),
  };
}

function typeOf(json: JsonObject, block: string): unknown {
  const value = field(json, block);
  return typeof value === 'object' && value !== null ? field(value as JsonObject, 'type') : undefined;
}

function unsupported(json: JsonObject, block: string, expected: string): never {
  const type = typeOf(json, block);
  complain({
    name: block,
    expected,
    got: type === undefined ? describe(field(json, block)) : `${describe(type)}, which is unsupported`,
    hint: 'only byte-level BPE as saved by RobertaTokenizer, LongformerTokenizer or LEDTokenizer can be read.',
  });
}

function parseModel(model: JsonObject): Pick<TokenizerDefinition, 'vocab' | 'merges' | 'ignoreMerges'> {
  const type = field(model, 'type') ?? 'BPE'; // files of old versions leave it out
  if (type !== 'BPE') complain({ name: 'model.type', expected: 'BPE', got: `${describe(type)}, which is unsupported` });
  if ((field(model, 'dropout') ?? 0) !== 0) {
    complain({ name: 'model.dropout', expected: 'null', got: describe(field(model, 'dropout')) });
  }
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    const value = field(model, key) ?? '';
    if (value !== '')
      complain({ name: `model.${key}`, expected: 'none', got: `${describe(value)}, which is unsupported` });
  }
  const vocab = parseVocabulary(asObject('model.vocab', field(model, 'vocab')));
  return {
    vocab,
    merges: parseMerges(asArray('model.merges', field(model, 'merges')), vocab),
    ignoreMerges: booleanField('model', model, 'ignore_merges', false),
  };
}

function parseVocabulary(json: JsonObject): Map<string, number> {
  const vocab = new Map<string, number>();
  const tokens = new Map<number, string>();
  for (const [token, value] of Object.entries(json)) {
    asToken('model.vocab', token);
    const id = asId(`model.vocab[${describe(token)}]`, value);
    const other = tokens.get(id);
    if (other !== undefined) {
      const got = `${id}, which ${describe(other)} has too`;
      complain({ name: `model.vocab[${describe(token)}]`, expected: 'an id of its own', got });
    }
    tokens.set(id, token);
    vocab.set(token, id);
  }
  const missing = byteSymbols.filter(symbol => !vocab.has(symbol));
  if (missing.length > 0) {
    complain({
      name: 'model.vocab',
      expected: 'a token for each of the 256 bytes',
      got: `none for ${missing.length} of them, first ${describe(missing[0])}`,
    });
  }
  return vocab;
}

/** Merges are pairs, or in older files texts with one blank. */
function parseMerges(json: readonly unknown[], vocab: ReadonlyMap<string, number>): (readonly [string, string])[] {
  if (json.length > maxMerges) {
    complain({ name: 'model.merges', expected: `at most ${maxMerges} merges`, got: String(json.length) });
  }
  return json.map((merge, rank) => {
    const name = `model.merges[${rank}]`;
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2) complain({ name, expected: 'two tokens', got: describe(merge) });
    const [left, right] = [asToken(name, parts[0]), asToken(name, parts[1])];
    for (const token of [left, right, left + right]) {
      if (!vocab.has(token)) complain({ name, expected: 'tokens of the vocabulary', got: describe(token) });
    }
    return [left, right] as const;
  });
}

function parseAddedTokens(json: readonly unknown[], vocab: ReadonlyMap<string, number>): AddedToken[] {
  const names = new Set<string>();
  const owners = new Map(Array.from(vocab, ([token, id]) => [id, token]));
  return json.map((entry, index) => {
    const name = `added_tokens[${index}]`;
    const object = asObject(name, entry);
    const content = asToken(`${name}.content`, field(object, 'content'));
    const id = asId(`${name}.id`, field(object, 'id'));
    if (content.length > maxAddedTokenLength) {
      const expected = `at most ${maxAddedTokenLength} characters`;
      complain({ name: `${name}.content`, expected, got: String(content.length) });
    }
    if (names.has(content)) {
      complain({ name: `${name}.content`, expected: 'a token of its own', got: `${describe(content)} again` });
    }
    const ofVocab = vocab.get(content);
    if (ofVocab !== undefined && ofVocab !== id) {
      complain({ name: `${name}.id`, expected: `${ofVocab}, as in the vocabulary`, got: String(id) });
    }
    const owner = owners.get(id);
    if (owner !== undefined && owner !== content) {
      const got = `${id}, which ${describe(owner)} has too`;
      complain({ name: `${name}.id`, expected: 'an id of its own', got });
    }
    names.add(content);
    owners.set(id, content);
    const special = booleanField(name, object, 'special', false);
    return {
      id,
      content,
      singleWord: booleanField(name, object, 'single_word', false),
      lstrip: booleanField(name, object, 'lstrip', false),
      rstrip: booleanField(name, object, 'rstrip', false),
      normalized: booleanField(name, object, 'normalized', !special),
      special,
    };
  });
}

function parseLayoutToken(name: string, value: unknown, idOf: (token: string) => number | undefined): number {
  const pair = asArray(name, value);
  const token = asToken(`${name}[0]`, pair[0]);
  const id = asId(`${name}[1]`, pair[1]);
  if (idOf(token) !== id) {
    complain({ name, expected: `the id of ${describe(token)} (${idOf(token) ?? 'none'})`, got: String(id) });
  }
  return id;
}

/** RoBERTa's names, where the files give none. */
export const conventionalNames = {
  bos: '<s>',
  pad: '<pad>',
  eos: '</s>',
  unk: '<unk>',
  cls: '<s>',
  sep: '</s>',
  mask: '<mask>',
} as const;

function specialTokenIds(
  config: JsonObject,
  idOf: (token: string) => number | undefined,
  cls: number,
  sep: number,
): SpecialTokenIds {
  const id = (role: keyof typeof conventionalNames): number | null =>
    idOf(specialTokenName(config, role) ?? conventionalNames[role]) ?? null;
  return { bos: id('bos'), eos: id('eos'), cls, sep, pad: id('pad'), unk: id('unk'), mask: id('mask') };
}

/** Name of a role in tokenizer_config.json or special_tokens_map.json: a text, or an object with its content. */
export function specialTokenName(config: JsonObject, role: string): string | null {
  const value = field(config, `${role}_token`) ?? null;
  if (value === null) return null;
  const content = typeof value === 'object' ? field(asObject(`${role}_token`, value), 'content') : value;
  return asToken(`${role}_token`, content);
}

/** transformers writes 1e30 for "endless". */
function parseModelMaxLength(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number' || !(value > 0)) {
    complain({ name: 'model_max_length', expected: 'a positive number', got: describe(value) });
  }
  return value > 2 ** 31 ? null : Math.floor(value);
}

function expectNumbers(json: JsonObject, block: string, keys: readonly string[]): void {
  const value = field(json, block) ?? null;
  if (value === null) return;
  const object = asObject(block, value);
  for (const key of keys) {
    const number = field(object, key) ?? 0;
    if (!Number.isSafeInteger(number) || (number as number) < 0) {
      complain({ name: `${block}.${key}`, expected: 'an integer >= 0', got: describe(number) });
    }
  }
}
