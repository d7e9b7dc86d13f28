/**
 * What goes wrong on a device is told later, to nobody in particular. This file catches it and turns it into typed errors.
 *
 * `watch` puts error scopes around calls and tells whom they concern; `settle`, before a result is handed out, waits for that.
 */
import { DeviceError, LongformerError, MemoryError } from '../../contract/errors.ts';

const filters = ['validation', 'internal', 'out-of-memory'] as const;

/** How long a device that refuses to map a buffer may take to say that it is lost. */
const lossDelayMs = 1000;

export class Health {
  readonly #device: GPUDevice;
  readonly #verdicts = new Set<Promise<void>>();
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

  /** Runs GPU calls. verdict: hears, later and once, what the device says about them; null when it accepts them. */
  watch<Result>(what: string, run: () => Result, verdict: (error: LongformerError | null) => void): Result {
    for (const filter of filters) this.#device.pushErrorScope(filter);
    try {
      return run();
    } finally {
      // The innermost scope is the first to be popped.
      const answers = filters.toReversed().map(filter => this.#answer(what, filter));
      const told = Promise.all(answers).then(errors => verdict(errors.find(error => error !== null) ?? null));
      this.#verdicts.add(told);
      void told.finally(() => this.#verdicts.delete(told));
    }
  }

  async #answer(what: string, filter: (typeof filters)[number]): Promise<LongformerError | null> {
    // A lost device answers with a rejection; `lost` says so better.
    const error = await this.#device.popErrorScope().catch(() => null);
    if (!error) return null;
    const complaint = {
      where: 'webgpu',
      name: what,
      expected: 'to be accepted by the device',
      got: firstLine(error.message),
    };
    if (filter !== 'out-of-memory') {
      return new DeviceError({ ...complaint, reason: filter === 'validation' ? 'Validation' : 'Internal' });
    }
    const hint = 'run fewer or shorter documents at once.';
    return new MemoryError({ ...complaint, expected: 'memory of the device', hint });
  }

  /** Waits until everything watched so far has its verdict. @throws DeviceError when the device is lost */
  async settle(): Promise<void> {
    await Promise.all(this.#verdicts);
    if (this.#loss) throw this.#loss;
  }

  /** Why a buffer could not be mapped: a lost device, or else the cause itself. */
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
