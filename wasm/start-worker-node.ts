/** Workers of Node. They do not keep the process alive. */
// By another name, because bundlers of web pages take `new Worker(new URL(…))` for a Web Worker.
import { Worker as NodeWorker } from 'node:worker_threads';
import type { StartWorker } from './team.ts';

export const startWorker: StartWorker = (start, onEnd) => {
  // scripts/build.ts makes it .js in the built package.
  const worker = new NodeWorker(new URL('./worker-node.ts', import.meta.url), { workerData: start });
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
