/** A thread of the pool in Node. */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiateOver } from './instantiate.ts';
import { type WorkerStart, work } from './team.ts';

const start = workerData as WorkerStart;
const exports = await instantiateOver(start.module, start.memory);
parentPort!.postMessage('ready');
work(start, exports);
