/** Finds added tokens (`<mask>`, `</s>`, …) in text, before words are cut. Source: HF AddedVocabulary. */
import { BLANK, characterClasses } from './character-classes.ts';
import type { AddedToken } from './definition.ts';

/** A stretch of text, in UTF-16 code units; `token` is null where the text is to be cut into words. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly token: AddedToken | null;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | null;
}

const wordCharacter = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

export class AddedTokenFinder {
  readonly #rounds: readonly Node[];

  /** Tokens that are not `normalized` are searched for first, the others in what is left. */
  constructor(tokens: readonly AddedToken[]) {
    this.#rounds = [tokens.filter(token => !token.normalized), tokens.filter(token => token.normalized)]
      .filter(round => round.length > 0)
      .map(buildTrie);
  }

  /**
   * All of `text` in order, without empty stretches. With `splitSpecialTokens` special tokens are ordinary text.
   *
   * Subtle: as in HF, swallowing blanks does not hide the next token from the search: where one token swallows blanks that
   * the next one begins with, their stretches overlap in these blanks.
   */
  find(text: string, splitSpecialTokens: boolean): Stretch[] {
    let stretches: Stretch[] = text.length === 0 ? [] : [{ start: 0, end: text.length, token: null }];
    for (const trie of this.#rounds) {
      stretches = stretches.flatMap(stretch =>
        stretch.token === null ? findIn(text, stretch.start, stretch.end, trie, splitSpecialTokens) : [stretch],
      );
    }
    return stretches;
  }
}

function buildTrie(tokens: readonly AddedToken[]): Node {
  const root: Node = { next: new Map(), token: null };
  for (const token of tokens) {
    let node = root;
    for (let at = 0; at < token.content.length; at++) {
      const unit = token.content.charCodeAt(at);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = { next: new Map(), token: null };
        node.next.set(unit, next);
      }
      node = next;
    }
    node.token = token;
  }
  return root;
}

function findIn(text: string, begin: number, end: number, trie: Node, splitSpecialTokens: boolean): Stretch[] {
  const stretches: Stretch[] = [];
  let taken = begin; // where ordinary text goes on
  let at = begin;
  while (at < end) {
    const token = longestMatch(text, at, end, trie);
    if (token === null) {
      at++;
      continue;
    }
    let start = at;
    let stop = at + token.content.length;
    at = stop;
    if (splitSpecialTokens && token.special) continue;
    if (token.singleWord && touchesWord(text, start, stop, begin, end)) continue;
    if (token.lstrip) {
      while (start > taken && isBlank(text, start - 1)) start--;
      start = Math.max(start, taken); // blanks that the token before has swallowed stay with it
    }
    if (token.rstrip) while (stop < end && isBlank(text, stop)) stop++;
    if (taken < start) stretches.push({ start: taken, end: start, token: null });
    stretches.push({ start, end: stop, token });
    taken = stop;
  }
  if (taken < end) stretches.push({ start: taken, end, token: null });
  return stretches;
}

function longestMatch(text: string, at: number, end: number, trie: Node): AddedToken | null {
  let longest: AddedToken | null = null;
  let node: Node | undefined = trie;
  for (let unit = at; unit < end; unit++) {
    node = node.next.get(text.charCodeAt(unit));
    if (node === undefined) break;
    if (node.token !== null) longest = node.token;
  }
  return longest;
}

/** All blanks are single code units. */
const isBlank = (text: string, at: number): boolean => characterClasses()[text.charCodeAt(at)] === BLANK;

/** Two code units on each side are enough for one character. */
function touchesWord(text: string, start: number, stop: number, begin: number, end: number): boolean {
  // Subtle: one character at a time, without anchors. V8 14.6 (Node 26) does not match a class before `$` against a surrogate pair.
  const before =
    start > begin ? (isPair(text, start - 2, begin) ? text.slice(start - 2, start) : text[start - 1]!) : '';
  const after = stop < end ? String.fromCodePoint(text.codePointAt(stop)!) : '';
  return wordCharacter.test(before) || wordCharacter.test(after);
}

/** Whether the two code units from `at` on, none before `begin`, are a surrogate pair. */
const isPair = (text: string, at: number, begin: number): boolean => at >= begin && text.codePointAt(at)! > 0xffff;
