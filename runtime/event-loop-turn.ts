/**
 * A turn of the event loop, by the fastest way the platform has: between two layers or two tokens an abort can arrive, and others can work.
 */
export const eventLoopTurn = (): Promise<void> =>
  new Promise(resolve => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
