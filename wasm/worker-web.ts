/** A thread of the pool in a browser. */
import { instantiateOver } from './instantiate.ts';
import { type WorkerStart, work } from './team.ts';

/** What is used of a worker's global scope. */
interface Scope {
  onmessage: ((event: { data: WorkerStart }) => void) | null;
  postMessage(message: string): void;
}

const scope = globalThis as unknown as Scope;
scope.onmessage = async ({ data }) => {
  const exports = await instantiateOver(data.module, data.memory);
  scope.postMessage('ready');
  work(data, exports);
};
