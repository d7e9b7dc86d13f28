/** Workers of Node. They do not keep the process alive. */
import { Worker } from 'node:worker_threads';
import type { StartWorker } from './team.ts';

// Built files are .js, sources .ts; the worker stands beside this file either way.
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

export const startWorker: StartWorker = (start, onEnd) => {
  const worker = new Worker(new URL(`./worker-node.${extension}`, import.meta.url), { workerData: start });
  worker.unref();
  const ready = new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.once('exit', code => reject(new Error(`the worker ended with code ${code}`)));
  });
  ready.catch(() => {}); // whoever waits hears of it, and onEnd does
  worker.on('error', onEnd);
  worker.on('exit', code => onEnd(new Error(`the worker ended with code ${code}`)));
  return { ready, terminate: () => void worker.terminate() };
};
