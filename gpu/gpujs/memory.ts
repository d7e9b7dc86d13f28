/** What stores there are and how many bytes; refusals by the name of the limit, before anything is made. */
import { MemoryError } from '../../contract/errors.ts';

export class Ledger {
  readonly #maximumBytes: number;
  readonly largest: number;
  readonly #limit: string;
  stores = 0;
  bytes = 0;
  uploadedBytes = 0;
  runs = 0;

  /** largest: numbers one store may have; limit: why. */
  constructor(maximumBytes: number, largest: number, limit: string) {
    this.#maximumBytes = maximumBytes;
    this.largest = largest;
    this.#limit = limit;
  }

  get availableBytes(): number {
    return this.#maximumBytes - this.bytes;
  }

  /** @throws MemoryError */
  expectRoom(where: string, name: string, numbers: number): void {
    const complain = (expected: string, got: number, hint: string): never => {
      throw new MemoryError({ where: `gpujs.${where}`, name, expected, got: String(got), hint });
    };
    if (numbers > this.largest) {
      const hint = 'run fewer or shorter documents at once, or use a GPU with a larger limit.';
      complain(`at most ${this.largest} numbers (${this.#limit})`, numbers, hint);
    }
    if (4 * numbers > this.availableBytes) {
      const hint = 'dispose of models that are no longer needed.';
      complain(`at most ${this.availableBytes} bytes (left of maximumMemoryBytes)`, 4 * numbers, hint);
    }
  }

  add(bytes: number): void {
    this.stores++;
    this.bytes += bytes;
  }

  remove(bytes: number): void {
    this.stores--;
    this.bytes -= bytes;
  }
}
