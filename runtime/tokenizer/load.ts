/** Tokenizer files, as texts → Tokenizer. For a directory see load-node.ts. */
import {
  asId,
  asObject,
  asToken,
  booleanField,
  complain,
  describe,
  field,
  type JsonObject,
  parseJsonObject,
} from './json.ts';
import { conventionalNames, parseTokenizer, specialTokenName } from './parse-tokenizer.ts';
import { createTokenizer, type Tokenizer, type TokenizerOptions } from './tokenizer.ts';

/** Contents of a checkpoint's tokenizer files. Either tokenizerJson, or vocabJson and mergesText. */
export interface TokenizerFiles {
  readonly tokenizerJson?: string | undefined;
  readonly vocabJson?: string | undefined;
  readonly mergesText?: string | undefined;
  readonly tokenizerConfigJson?: string | undefined;
  readonly specialTokensMapJson?: string | undefined;
}

/**
 * tokenizer.json goes before vocab.json + merges.txt when both are there.
 *
 * @throws TokenizerError naming the file or field that is missing, damaged or unsupported.
 */
export function loadTokenizer(files: TokenizerFiles, options: TokenizerOptions = {}): Tokenizer {
  const { tokenizerJson, vocabJson, mergesText, tokenizerConfigJson, specialTokensMapJson } = files;
  const config = {
    ...(specialTokensMapJson === undefined ? {} : parseJsonObject('special_tokens_map.json', specialTokensMapJson)),
    ...(tokenizerConfigJson === undefined ? {} : parseJsonObject('tokenizer_config.json', tokenizerConfigJson)),
  };
  if (tokenizerJson !== undefined) {
    return createTokenizer(parseTokenizer(parseJsonObject('tokenizer.json', tokenizerJson), config), options);
  }
  if (vocabJson === undefined || mergesText === undefined) {
    complain({
      name: 'files',
      expected: 'tokenizer.json, or vocab.json and merges.txt',
      got: vocabJson === undefined ? (mergesText === undefined ? 'none' : 'merges.txt only') : 'vocab.json only',
    });
  }
  const vocab = parseJsonObject('vocab.json', vocabJson);
  return createTokenizer(
    parseTokenizer(buildTokenizerJson(vocab, parseMergesText(mergesText), config), config),
    options,
  );
}

/** One merge per line; the first line may be `#version: …`. */
function parseMergesText(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines[0]!.startsWith('#version')) lines.shift();
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

const roles = ['bos', 'pad', 'eos', 'unk', 'cls', 'sep', 'mask'] as const;

/**
 * The tokenizer.json that belongs to vocab.json and merges.txt.
 *
 * Source: HF's converter for RobertaTokenizer (transformers 4): ByteLevel, BPE, RobertaProcessing, `<mask>` with lstrip.
 * Names and flags of special tokens come from tokenizer_config.json and special_tokens_map.json where these have them.
 */
function buildTokenizerJson(vocab: JsonObject, merges: readonly string[], config: JsonObject): JsonObject {
  const described = describedTokens(config);
  const ids = new Map<string, unknown>(Object.entries(vocab));
  for (const [content, { id }] of described) if (id !== undefined) ids.set(content, id);
  const added = new Map<string, JsonObject>();
  const add = (content: string, flags: JsonObject, isMask: boolean, special: boolean): void => {
    if (added.has(content)) return;
    if (!ids.has(content)) ids.set(content, ids.size); // as HF does for tokens the vocabulary lacks
    added.set(content, {
      id: ids.get(content),
      content,
      single_word: booleanField(content, flags, 'single_word', false),
      lstrip: booleanField(content, flags, 'lstrip', isMask),
      rstrip: booleanField(content, flags, 'rstrip', false),
      normalized: booleanField(content, flags, 'normalized', false),
      special,
    });
  };
  const nameOf = (role: (typeof roles)[number]): string => specialTokenName(config, role) ?? conventionalNames[role];
  for (const role of roles) add(nameOf(role), described.get(nameOf(role))?.flags ?? {}, role === 'mask', true);
  for (const [content, { flags }] of described)
    add(content, flags, false, booleanField(content, flags, 'special', false));
  const addPrefixSpace = booleanField('tokenizer_config.json', config, 'add_prefix_space', false);
  return {
    added_tokens: [...added.values()],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: addPrefixSpace, use_regex: true },
    post_processor: {
      type: 'RobertaProcessing',
      sep: [nameOf('sep'), ids.get(nameOf('sep'))],
      cls: [nameOf('cls'), ids.get(nameOf('cls'))],
      trim_offsets: true,
      add_prefix_space: addPrefixSpace,
    },
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges },
  };
}

/** Tokens that are written as objects, with lstrip, rstrip, …; those of `added_tokens_decoder` have an id as well. */
function describedTokens(config: JsonObject): Map<string, { flags: JsonObject; id: number | undefined }> {
  const described = new Map<string, { flags: JsonObject; id: number | undefined }>();
  const describeToken = (name: string, entry: unknown, id: number | undefined): void => {
    if (typeof entry !== 'object' || entry === null) return;
    const flags = asObject(name, entry);
    described.set(asToken(`${name}.content`, field(flags, 'content')), { flags, id });
  };
  for (const role of roles) describeToken(`${role}_token`, field(config, `${role}_token`), undefined);
  const decoder = asObject('added_tokens_decoder', field(config, 'added_tokens_decoder') ?? {});
  for (const [id, entry] of Object.entries(decoder)) {
    const name = `added_tokens_decoder[${describe(id)}]`;
    describeToken(name, entry, asId(name, Number(id)));
  }
  return described;
}
