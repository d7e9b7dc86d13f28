/**
 * What the kernels need of a GPU: stores of float32 numbers, programs that make new stores of old ones, one way back.
 *
 * A store is written by one program and never again; a handle of the seam changes by owning another store. webgl2.ts has textures, for
 * browsers; webgpu.ts has buffers, for Node.
 */
import type { Program } from './program.ts';

/** rows x features numbers on the GPU, row after row. */
export interface Store {
  readonly rows: number;
  readonly features: number;
  readonly bytes: number;
  /** What gpu.js takes as an argument. */
  readonly value: unknown;
}

/** A store, a whole number or a real one, in the order of the program's arguments. */
export type Argument = Store | number;

export interface Statistics {
  /** Textures or buffers that hold numbers. */
  readonly stores: number;
  readonly bytes: number;
  /** Since the device was opened: weights, documents, activations. */
  readonly uploadedBytes: number;
  readonly compiled: number;
  readonly runs: number;
}

/** Scores that exist at once unless something else is asked for: 16 MiB, three times over. */
export const usualScores = 2 ** 22;

export interface Device {
  readonly statistics: Statistics;
  readonly availableBytes: number;
  /** Numbers of scores that may exist at once. */
  readonly mostScores: number;
  /** A store without contents of its own. name: as messages should say it. @throws MemoryError */
  make(where: string, name: string, rows: number, features: number): Store;
  /** Overwrites numbers from `first` on. The store to use from now on: what a program made may have to be copied first. @throws MemoryError */
  upload(store: Store, first: number, values: Float32Array<ArrayBuffer>): Store;
  /** A new store (rows, features), computed. @throws MemoryError, DeviceError, UnsupportedError */
  run(program: Program, rows: number, features: number, values: readonly Argument[]): Store;
  /** Waits. @throws DeviceError, MemoryError, also for earlier calls */
  read(store: Store, first: number, count: number): Promise<Float32Array>;
  delete(store: Store): void;
  /** @throws DeviceError when the GPU is lost */
  expectAlive(): void;
  dispose(): void;
}

/** Stores that are given to `keep` live until the end of `run`, also when a GPU without memory ends it. */
export function briefly<Result>(device: Device, run: (keep: (store: Store) => Store) => Result): Result {
  const kept: Store[] = [];
  try {
    return run(store => {
      kept.push(store);
      return store;
    });
  } finally {
    for (const store of kept) device.delete(store);
  }
}
