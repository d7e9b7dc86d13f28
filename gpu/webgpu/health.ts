/**
 * What goes wrong on a device is told later, to nobody in particular. This file catches it and turns it into typed errors.
 *
 * `watch` puts error scopes around calls; `settle`, before a result is handed out, waits for their verdicts.
 */
import { DeviceError, LongformerError, MemoryError } from '../../contract/errors.ts';

const filters = ['validation', 'internal', 'out-of-memory'] as const;

/** How long a device that refuses to map a buffer may take to say that it is lost. */
const lossDelayMs = 1000;

export class Health {
  readonly #device: GPUDevice;
  readonly #verdicts = new Set<Promise<void>>();
  readonly #failures: LongformerError[] = [];
  #loss: DeviceError | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
    void device.lost.then(({ reason, message }) => {
      this.#loss = new DeviceError({
        where: 'webgpu',
        name: 'device',
        expected: 'to answer',
        got: `a lost device (${reason ?? 'unknown'}: ${message || 'no message'})`,
        hint: 'make new kernels; everything on this device is gone.',
        reason: 'Lost',
      });
    });
  }

  get loss(): DeviceError | null {
    return this.#loss;
  }

  /** Runs GPU calls and remembers what the device says about them. `refused`: takes the error instead of the next `settle`. */
  watch<Result>(what: string, run: () => Result, refused?: (error: LongformerError) => void): Result {
    for (const filter of filters) this.#device.pushErrorScope(filter);
    try {
      return run();
    } finally {
      for (const filter of filters.toReversed()) this.#keep(this.#verdict(what, filter, refused));
    }
  }

  #keep(verdict: Promise<void>): void {
    this.#verdicts.add(verdict);
    void verdict.finally(() => this.#verdicts.delete(verdict));
  }

  async #verdict(
    what: string,
    filter: (typeof filters)[number],
    refused: ((error: LongformerError) => void) | undefined,
  ): Promise<void> {
    // A lost device answers with a rejection; `lost` says so better.
    const error = await this.#device.popErrorScope().catch(() => null);
    if (!error) return;
    const complaint = {
      where: 'webgpu',
      name: what,
      expected: 'to be accepted by the device',
      got: firstLine(error.message),
    };
    const typed =
      filter === 'out-of-memory'
        ? new MemoryError({
            ...complaint,
            expected: 'memory of the device',
            hint: 'run fewer or shorter documents at once.',
          })
        : new DeviceError({ ...complaint, reason: filter === 'validation' ? 'Validation' : 'Internal' });
    if (refused) refused(typed);
    else this.#failures.push(typed);
  }

  /** Waits for everything watched so far. @throws DeviceError, MemoryError */
  async settle(): Promise<void> {
    await Promise.all(this.#verdicts);
    const failure = this.#failures[0];
    this.#failures.length = 0;
    if (this.#loss ?? failure) throw this.#loss ?? failure;
  }

  /** Why a buffer could not be mapped: what was watched, a lost device, or else the cause itself. */
  async explain(cause: unknown): Promise<never> {
    if (cause instanceof LongformerError) throw cause;
    await this.settle();
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      this.#device.lost,
      new Promise(resolve => {
        timer = setTimeout(resolve, lossDelayMs);
      }),
    ]);
    clearTimeout(timer);
    await this.settle();
    throw new DeviceError({
      where: 'webgpu',
      name: 'read',
      expected: 'a result',
      got: String(cause),
      reason: 'Internal',
      cause,
    });
  }
}

const firstLine = (message: string): string => message.split('\n', 1)[0]!.trim();
