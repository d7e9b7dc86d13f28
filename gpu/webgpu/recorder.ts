/**
 * Calls are recorded and run in one submit, when somebody reads.
 *
 * - The numbers of a call lie in a slot of one uniform buffer; all slots are uploaded at once before the submit.
 * - `queue.writeBuffer` takes effect before commands that are submitted later. So commands that use a block are submitted before
 *   anyone writes to it.
 * - A buffer that is released waits until the commands recorded before are submitted. Commands whose results only released
 *   buffers would hold are dropped: a pass that was aborted costs the device nothing.
 */
import type { LongformerError } from '../../contract/errors.ts';
import type { Block, Buffers } from './buffers.ts';
import type { Health } from './health.ts';
import { compiled, slotBytes } from './pipelines.ts';
import type { Dispatch } from './program.ts';
import type { Timings } from './timings.ts';

/** Calls in one submit, at most: a decoder of 24 layers with long targets needs some 600. */
const mostCalls = 1024;

/** What was handed to the device, and what it said. */
interface Submitted {
  readonly commands: readonly Command[];
  /** The device has answered. */
  settled: boolean;
  error: LongformerError | null;
}

interface Command {
  readonly dispatch: Dispatch;
  readonly slot: number;
}

/** A copy at the end of a submit. */
interface Copy {
  readonly from: Block;
  readonly byteOffset: number;
  readonly to: GPUBuffer;
  readonly bytes: number;
}

export class Recorder {
  readonly #device: GPUDevice;
  readonly #health: Health;
  readonly #buffers: Buffers;
  readonly #timings: Timings | null;
  /** Longer work goes in several submits, so that no watchdog of a driver takes it for a hang. */
  readonly #mostFlops: number;
  readonly #slots: GPUBuffer;
  readonly #numbers = new DataView(new ArrayBuffer(mostCalls * slotBytes));
  readonly #released: Block[] = [];
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  #commands: Command[] = [];
  /** In order, since the last `judge`. */
  readonly #submitted: Submitted[] = [];
  #flops = 0;
  #submits = 0;

  constructor(device: GPUDevice, health: Health, buffers: Buffers, mostFlops: number, timings: Timings | null) {
    this.#device = device;
    this.#health = health;
    this.#buffers = buffers;
    this.#mostFlops = mostFlops;
    this.#timings = timings;
    this.#slots = buffers.makeUniform(mostCalls * slotBytes);
  }

  get submits(): number {
    return this.#submits;
  }

  record(dispatch: Dispatch): void {
    if (dispatch.workgroups.includes(0)) return;
    if (this.#commands.length === mostCalls) this.#submit(this.#commands);
    const slot = this.#commands.length;
    let at = slot * slotBytes;
    for (const [name, type] of Object.entries(dispatch.program.numbers)) {
      const value = dispatch.numbers[name]!;
      if (type === 'f32') this.#numbers.setFloat32(at, value, true);
      else this.#numbers.setInt32(at, value, true); // the same 32 bits for u32
      at += 4;
    }
    this.#commands.push({ dispatch, slot });
    this.#flops += dispatch.cost.flops;
    // Here nothing is dropped: what lies in scratch may be read by the next command.
    if (this.#flops > this.#mostFlops) this.#submit(this.#commands);
  }

  /** The blocks are nobody's any more. Their buffers go with the next flush, or now when nothing that is pending matters to anyone. */
  release(blocks: readonly Block[]): void {
    for (const block of blocks) {
      block.released = true;
      this.#released.push(block);
    }
    if (this.#living().length > 0) return;
    this.#commands = [];
    this.#flops = 0;
    this.#destroyReleased();
  }

  /** Submits what was recorded, if it matters to anyone, and a copy behind it. */
  flush(copy?: Copy): Submitted {
    return this.#submit(this.#living(), copy);
  }

  /** Before the host writes to the block: what was recorded must see, or not overwrite, what was there. */
  flushUsesOf(block: Block): void {
    if (this.#commands.some(({ dispatch }) => dispatch.blocks.includes(block))) this.flush();
  }

  /**
   * Once the device has answered: what a failed submit should have written is no good, nor what was computed from it. Scratch is
   * spared, since the next call writes it anew. Whoever uses or reads such a block hears why.
   */
  judge(): void {
    const bad = new Map<Block, LongformerError>();
    while (this.#submitted[0]?.settled) {
      const { commands, error } = this.#submitted.shift()!;
      const reasonOf = (blocks: readonly Block[]): LongformerError | null => {
        const block = blocks.find(each => each.refusal ?? bad.has(each));
        return block ? (block.refusal ?? bad.get(block)!) : null;
      };
      const whole = error && (reasonOf(commands.flatMap(({ dispatch }) => dispatch.blocks)) ?? error);
      for (const { dispatch } of commands) {
        const reason = whole ?? reasonOf(dispatch.blocks);
        if (reason) for (const block of written(dispatch)) bad.set(block, reason);
      }
    }
    for (const [block, reason] of bad) if (!block.scratch) block.refusal ??= reason;
  }

  #submit(commands: readonly Command[], copy?: Copy): Submitted {
    const used = this.#commands.length;
    const submitted: Submitted = { commands, settled: false, error: null };
    this.#commands = [];
    this.#flops = 0;
    if (commands.length > 0 || copy) {
      const run = (): void => {
        const bytes = new Uint8Array(this.#numbers.buffer, 0, used * slotBytes);
        if (used > 0) this.#device.queue.writeBuffer(this.#slots, 0, bytes);
        const encoder = this.#device.createCommandEncoder();
        this.#encode(encoder, commands);
        if (copy) encoder.copyBufferToBuffer(copy.from.buffer, copy.byteOffset, copy.to, 0, copy.bytes);
        this.#device.queue.submit([encoder.finish()]);
        this.#submits++;
      };
      this.#submitted.push(submitted);
      this.#health.watch('submit', run, error => Object.assign(submitted, { settled: true, error }));
    }
    this.#destroyReleased();
    return submitted;
  }

  #encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void {
    if (this.#timings) {
      this.#timings.encode(encoder, commands, (pass, command) => this.#run(pass, command));
      return;
    }
    if (commands.length === 0) return;
    const pass = encoder.beginComputePass();
    for (const command of commands) this.#run(pass, command);
    pass.end();
  }

  #run(pass: GPUComputePassEncoder, { dispatch, slot }: Command): void {
    pass.setPipeline(compiled(this.#device, dispatch.program).pipeline);
    pass.setBindGroup(0, this.#bindGroup(dispatch), [slot * slotBytes]);
    pass.dispatchWorkgroups(...dispatch.workgroups);
  }

  /** Bind groups are kept while all their buffers live: a decoding step makes none. */
  #bindGroup({ program, blocks }: Dispatch): GPUBindGroup {
    const key = `${program.name}|${blocks.map(({ id }) => `${id}|`).join('')}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      group = this.#device.createBindGroup({
        layout: compiled(this.#device, program).layout,
        entries: [
          { binding: 0, resource: { buffer: this.#slots, size: slotBytes } },
          ...blocks.map(({ buffer }, index) => ({ binding: index + 1, resource: { buffer } })),
        ],
      });
      this.#bindGroups.set(key, group);
    }
    return group;
  }

  /** Commands with a result that lives, or that such a command needs; in order. */
  #living(): Command[] {
    if (this.#released.length === 0) return this.#commands;
    const needed = new Set<Block>();
    const living = this.#commands.toReversed().filter(({ dispatch }) => {
      const lives = written(dispatch).some(block => needed.has(block) || !(block.released || block.scratch));
      if (lives) for (const block of dispatch.blocks) needed.add(block);
      return lives;
    });
    return living.reverse();
  }

  #destroyReleased(): void {
    if (this.#released.length === 0) return;
    const gone = new Set(
      this.#released.splice(0).map(block => {
        this.#buffers.destroy(block);
        return String(block.id);
      }),
    );
    for (const key of this.#bindGroups.keys()) {
      if (key.split('|').some((part, index) => index > 0 && gone.has(part))) this.#bindGroups.delete(key);
    }
  }

  dispose(): void {
    this.#commands = [];
    this.#destroyReleased();
    this.#slots.destroy();
    this.#timings?.dispose();
  }
}

const written = ({ program, blocks }: Dispatch): Block[] =>
  Object.values(program.bindings).flatMap(({ access }, index) => (access === 'write' ? blocks[index]! : []));
