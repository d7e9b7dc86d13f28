/** Workers of browsers. */
import type { StartWorker, WorkerStart } from './team.ts';

/** What is used of a Web Worker. */
interface WebWorker {
  onmessage: (() => void) | null;
  onerror: ((event: unknown) => void) | null;
  postMessage(message: WorkerStart): void;
  terminate(): void;
}

const { Worker } = globalThis as unknown as { Worker: new (url: URL, options: { type: 'module' }) => WebWorker };

export const startWorker: StartWorker = (start, onEnd) => {
  // Bundlers look for exactly this expression. scripts/build.ts makes it .js in the built package.
  const worker = new Worker(new URL('./worker-web.ts', import.meta.url), { type: 'module' });
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = event => {
      const cause = new Error('the worker failed', { cause: event });
      reject(cause);
      onEnd(cause);
    };
  });
  ready.catch(() => {}); // whoever waits hears of it, and onEnd does
  worker.postMessage(start);
  return { ready, terminate: () => worker.terminate() };
};
