/**
 * What happens between two parts of a long computation: progress is told, others get a turn, and an abort is honoured.
 *
 * Read next: encoder-layers.ts, led-decoder.ts.
 */
import { AbortedError } from '../../contract/errors.ts';
import { eventLoopTurn } from '../event-loop-turn.ts';

export interface TurnOptions {
  readonly signal?: AbortSignal;
  /** 0..1. */
  readonly onProgress?: (done: number) => void;
}

/** To be called after each of `parts` parts. @throws AbortedError (the returned function) */
export function createTurns(where: string, { signal, onProgress }: TurnOptions, parts: number): () => Promise<void> {
  let done = 0;
  return async () => {
    onProgress?.(++done / parts);
    await eventLoopTurn();
    expectNotAborted(where, signal);
  };
}

/** @throws AbortedError */
export function expectNotAborted(where: string, signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new AbortedError({ where, name: 'signal', expected: 'to finish', got: 'an abort', cause: signal.reason });
}
