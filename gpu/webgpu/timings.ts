/** Device timestamps around every call, for benchmarks: how long each program took, in nanoseconds of the device. */
import type { Buffers } from './buffers.ts';
import type { Dispatch } from './program.ts';

export interface Timing {
  readonly name: string;
  readonly calls: number;
  readonly nanoseconds: number;
  /** What the calls had to do at least. */
  readonly flops: number;
  readonly bytes: number;
}

/** Calls of one submit that get a time; two queries each, and a query set holds 4,096. */
const mostTimed = 2048;

interface Pending {
  readonly staging: GPUBuffer;
  readonly dispatches: readonly Dispatch[];
}

export class Timings {
  readonly #buffers: Buffers;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #pending: Pending[] = [];

  constructor(device: GPUDevice, buffers: Buffers) {
    this.#buffers = buffers;
    this.#queries = device.createQuerySet({ type: 'timestamp', count: 2 * mostTimed });
    this.#resolved = buffers.makeResolve(16 * mostTimed);
  }

  /** Each command in a pass of its own, between two timestamps. */
  encode<Command extends { readonly dispatch: Dispatch }>(
    encoder: GPUCommandEncoder,
    commands: readonly Command[],
    run: (pass: GPUComputePassEncoder, command: Command) => void,
  ): void {
    for (const [index, command] of commands.entries()) {
      const timestampWrites = {
        querySet: this.#queries,
        beginningOfPassWriteIndex: 2 * index,
        endOfPassWriteIndex: 2 * index + 1,
      };
      const pass = encoder.beginComputePass({ timestampWrites });
      run(pass, command);
      pass.end();
    }
    if (commands.length === 0) return;
    const bytes = 16 * commands.length;
    const staging = this.#buffers.staging(bytes);
    encoder.resolveQuerySet(this.#queries, 0, 2 * commands.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, bytes);
    this.#pending.push({ staging, dispatches: commands.map(({ dispatch }) => dispatch) });
  }

  /** Sums by program since the last call. */
  async take(): Promise<Timing[]> {
    const sums = new Map<string, Timing>();
    for (const { staging, dispatches } of this.#pending.splice(0)) {
      const times = new BigUint64Array(await this.#buffers.takeResult(staging, 16 * dispatches.length));
      for (const [index, { program, cost }] of dispatches.entries()) {
        const { name } = program;
        const sum = sums.get(name) ?? { name, calls: 0, nanoseconds: 0, flops: 0, bytes: 0 };
        sums.set(name, {
          name,
          calls: sum.calls + 1,
          nanoseconds: sum.nanoseconds + Number(times[2 * index + 1]! - times[2 * index]!),
          flops: sum.flops + cost.flops,
          bytes: sum.bytes + cost.bytes,
        });
      }
    }
    return [...sums.values()].sort((a, b) => b.nanoseconds - a.nanoseconds);
  }

  dispose(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
  }
}
