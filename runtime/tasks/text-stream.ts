/**
 * Tokens of one text as they come → the characters that are certain.
 *
 * A character of several bytes may be spread over tokens: its first bytes alone would be U+FFFD, so they are held back until the rest is there.
 */
import type { Tokenizer } from '../tokenizer/index.ts';

export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;
  readonly #ids: number[] = [];
  #told = 0;

  constructor(tokenizer: Pick<Tokenizer, 'decode'>) {
    this.#tokenizer = tokenizer;
  }

  /** What the token adds, which may be nothing yet. */
  push(tokenId: number): string {
    this.#ids.push(tokenId);
    const text = this.#tokenizer.decode(this.#ids, { skipSpecialTokens: true });
    return this.#tell(text, text.replace(/\ufffd+$/, '').length);
  }

  /** What was held back. */
  end(): string {
    const text = this.#tokenizer.decode(this.#ids, { skipSpecialTokens: true });
    return this.#tell(text, text.length);
  }

  #tell(text: string, until: number): string {
    const added = text.slice(this.#told, until);
    this.#told = Math.max(this.#told, until);
    return added;
  }
}
