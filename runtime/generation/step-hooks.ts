/**
 * What a search tells while it runs, and where it can be stopped: between two tokens.
 *
 * Read next: greedy.ts, beam-search.ts.
 */

/** A token that will not change any more. */
export interface WrittenToken {
  readonly document: number;
  /** Which of the document's sequences: 0 .. numReturnSequences - 1. */
  readonly sequence: number;
  readonly tokenId: number;
}

export interface StepHooks {
  /** length: of the targets, prompt included; finished: groups or documents that are done; last: nothing follows. @throws AbortedError */
  readonly turn: (length: number, finished: number, last: boolean) => Promise<void>;
  readonly onToken?: (token: WrittenToken) => void | Promise<void>;
}
