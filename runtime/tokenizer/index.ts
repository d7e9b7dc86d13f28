export type { AddedToken, SpecialTokenIds, TokenizerDefinition } from './definition.ts';
export type { Encoding } from './encoding.ts';
export { loadTokenizer, type TokenizerFiles } from './load.ts';
export { createTokenizer, type EncodeOptions, type Tokenizer, type TokenizerOptions } from './tokenizer.ts';
export type { Truncation } from './windows.ts';
