/**
 * Reads the pickle of a PyTorch state dict. A pickle is a program; this is an interpreter for the few instructions and the few
 * names such a file needs. Nothing is looked up, imported or called: names are compared with a list.
 *
 * Source: Python's pickletools for the instructions, torch.save for what they build. Read before: pickle-values.ts. Read next: archive.ts.
 */
import { CheckpointError, UnsupportedError } from '../../../contract/errors.ts';
import {
  isStorage,
  isTensor,
  type NameRef,
  type PickleValue,
  type StorageRef,
  type TensorRef,
} from './pickle-values.ts';

/** torch's storage classes and the dtypes of safetensors. */
const storageDtypes = new Map([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);

const functions = new Set([
  'collections.OrderedDict',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_parameter',
]);

/**
 * A tensor takes about 40 instructions, makes about 10 values and is kept with all its parts: this is room for a hundred thousand, and
 * at most some hundred megabytes for whoever wants to fill it.
 */
const most = { steps: 5_000_000, values: 1_500_000, rank: 64 };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export interface Unpickled {
  readonly value: PickleValue;
  /** Every storage the pickle speaks of, by its key, whether a tensor of the result uses it or not. */
  readonly storages: ReadonlyMap<string, StorageRef>;
  /** Byte after the last instruction. */
  readonly end: number;
}

/**
 * Interprets one pickle that begins at `begin`.
 *
 * @throws CheckpointError InvalidPickle for everything that is damaged, out of bounds or too much; UnsupportedError for names that are
 *   not on the list, each named.
 */
export function unpickle(bytes: Uint8Array, begin = 0): Unpickled {
  return new Unpickler(bytes, begin).run();
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;
  #stack: PickleValue[] = [];
  /** Stacks that were set aside by MARK. */
  readonly #marks: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #storages = new Map<string, StorageRef>();
  /** Lists, tuples, dictionaries, texts, tensors, marks: whatever takes memory of its own. */
  #values = 0;

  constructor(bytes: Uint8Array, begin: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = begin;
  }

  run(): Unpickled {
    for (let steps = 0; steps < most.steps; steps++) {
      const op = this.#byte();
      if (op === 0x2e) return { value: this.#pop(), end: this.#at, storages: this.#storages }; // STOP
      this.#step(op);
      if (this.#values > most.values) return this.#fail(`at most ${most.values} values`, 'more');
    }
    return this.#fail(`at most ${most.steps} instructions`, 'more');
  }

  #step(op: number): void {
    switch (op) {
      case 0x80: {
        // PROTO
        const protocol = this.#byte();
        if (protocol !== 2) this.#fail('protocol 2, which torch.save uses', String(protocol));
        break;
      }
      case 0x63: // GLOBAL
        this.#make(this.#global(`${this.#line()}.${this.#line()}`));
        break;
      case 0x28: // MARK
        this.#marks.push(this.#stack);
        this.#stack = [];
        this.#values++;
        break;
      case 0x4e: // NONE
        this.#push(null);
        break;
      case 0x88: // NEWTRUE
        this.#push(true);
        break;
      case 0x89: // NEWFALSE
        this.#push(false);
        break;
      case 0x4b: // BININT1
        this.#push(this.#byte());
        break;
      case 0x4d: // BININT2
        this.#push(this.#view.getUint16(this.#take(2), true));
        break;
      case 0x4a: // BININT
        this.#push(this.#view.getInt32(this.#take(4), true));
        break;
      case 0x8a: // LONG1
        this.#make(this.#long(this.#byte()));
        break;
      case 0x47: // BINFLOAT
        this.#push(this.#view.getFloat64(this.#take(8), false));
        break;
      case 0x58: // BINUNICODE
        this.#make(this.#text(this.#view.getUint32(this.#take(4), true)));
        break;
      case 0x5d: // EMPTY_LIST
        this.#make({ kind: 'list', items: [] });
        break;
      case 0x7d: // EMPTY_DICT
        this.#make(new Map());
        break;
      case 0x29: // EMPTY_TUPLE
        this.#make({ kind: 'tuple', items: [] });
        break;
      case 0x74: // TUPLE
        this.#make({ kind: 'tuple', items: this.#popMark() });
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items: PickleValue[] = [];
        for (let i = 0; i < op - 0x84; i++) items.unshift(this.#pop());
        this.#make({ kind: 'tuple', items });
        break;
      }
      case 0x61: {
        // APPEND
        const item = this.#pop();
        this.#list().push(item);
        break;
      }
      case 0x65: {
        // APPENDS
        const items = this.#popMark();
        const list = this.#list();
        for (const item of items) list.push(item);
        break;
      }
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        const key = this.#pop();
        this.#dict().set(key, value);
        break;
      }
      case 0x75: {
        // SETITEMS
        const items = this.#popMark();
        if (items.length % 2 !== 0) this.#fail('keys with values', 'a key without one');
        const dict = this.#dict();
        for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
        break;
      }
      case 0x71: // BINPUT
        this.#remember(this.#byte());
        break;
      case 0x72: // LONG_BINPUT
        this.#remember(this.#view.getUint32(this.#take(4), true));
        break;
      case 0x68: // BINGET
        this.#recall(this.#byte());
        break;
      case 0x6a: // LONG_BINGET
        this.#recall(this.#view.getUint32(this.#take(4), true));
        break;
      case 0x51: // BINPERSID
        this.#make(this.#storage(this.#tuple(this.#pop(), 5)));
        break;
      case 0x52: {
        // REDUCE
        const given = this.#tuple(this.#pop(), 0);
        this.#make(this.#reduce(this.#pop(), given));
        break;
      }
      case 0x62: {
        // BUILD: the attributes of a state dict (its _metadata) are not needed
        this.#pop();
        this.#dict();
        break;
      }
      default:
        this.#fail('an instruction of a state dict', `0x${op.toString(16)}`);
    }
  }

  /** A name. @throws UnsupportedError unless it is on one of the lists */
  #global(name: string): NameRef {
    if (functions.has(name) || storageDtypes.has(name)) return { kind: 'name', name };
    throw new UnsupportedError({
      where: 'unpickle',
      name,
      expected: 'a state dict of plain tensors',
      got: `a pickle that asks for ${name}`,
      hint: 'nothing in it was run. In Python: torch.save(model.state_dict(), …), or save_pretrained, which writes safetensors.',
    });
  }

  #reduce(callee: PickleValue, given: readonly PickleValue[]): PickleValue {
    const name =
      callee !== null && typeof callee === 'object' && 'kind' in callee && callee.kind === 'name' ? callee.name : '';
    switch (name) {
      case 'collections.OrderedDict':
        return given.length === 0 ? new Map() : this.#fail('an empty OrderedDict', `${given.length} arguments`);
      case 'torch._utils._rebuild_tensor_v2':
        return this.#tensor(given);
      case 'torch._utils._rebuild_parameter': {
        const [tensor] = given;
        return isTensor(tensor) ? tensor : this.#fail('a tensor in a Parameter', 'something else');
      }
      default:
        return this.#fail('a function that makes tensors', 'something else');
    }
  }

  /** (storage, offset, shape, strides, requires_grad, hooks) and, for tensors that torch negates or conjugates when it reads them, a seventh. */
  #tensor([storage, offset, shape, strides, , , metadata = null]: readonly PickleValue[]): TensorRef {
    if (!isStorage(storage)) return this.#fail('a storage under a tensor', 'something else');
    if (metadata !== null)
      this.#fail('a tensor without metadata', 'one with it, which means other numbers than are stored');
    const sizes = this.#counts(shape, 'a shape');
    const steps = this.#counts(strides, 'strides');
    if (sizes.length !== steps.length) this.#fail(`${sizes.length} strides`, String(steps.length));
    return { kind: 'tensor', storage, offset: this.#count(offset, 'an offset'), shape: sizes, strides: steps };
  }

  /** ('storage', class, key, place, elements) and, in the stream, a part of another storage, which nobody has written for years. */
  #storage([tag, type, key, , length, part = null]: readonly PickleValue[]): StorageRef {
    if (tag !== 'storage' || typeof key !== 'string') return this.#fail('a storage', 'another persistent id');
    if (part !== null) return this.#fail('whole storages', `storage ${key} as a part of another`);
    const name = type !== null && typeof type === 'object' && 'kind' in type && type.kind === 'name' ? type.name : '';
    const dtype = storageDtypes.get(name) ?? this.#fail('a class of storages', 'something else');
    const storage: StorageRef = { kind: 'storage', dtype, key, length: this.#count(length, 'a number of elements') };
    const same = this.#storages.get(key);
    if (same && (same.dtype !== dtype || same.length !== storage.length)) {
      const got = `${storage.length} of ${dtype}, and before ${same.length} of ${same.dtype}`;
      return this.#fail(`one kind and length of storage ${key}`, got);
    }
    this.#storages.set(key, storage);
    return same ?? storage;
  }

  #counts(value: PickleValue | undefined, what: string): number[] {
    const items = this.#tuple(value, 0);
    if (items.length > most.rank) this.#fail(`at most ${most.rank} axes`, String(items.length));
    return items.map(item => this.#count(item, what));
  }

  #count(value: PickleValue | undefined, what: string): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    return this.#fail(
      `${what} of whole numbers from 0`,
      typeof value === 'number' || typeof value === 'bigint' ? String(value) : 'something else',
    );
  }

  #tuple(value: PickleValue | undefined, least: number): PickleValue[] {
    const isTuple = value !== null && typeof value === 'object' && 'kind' in value && value.kind === 'tuple';
    if (isTuple && value.items.length >= least) return value.items;
    return this.#fail(least === 0 ? 'a tuple' : `a tuple of ${least} items`, 'something else');
  }

  #list(): PickleValue[] {
    const value = this.#stack.at(-1);
    if (value && typeof value === 'object' && 'kind' in value && value.kind === 'list') return value.items;
    return this.#fail('a list', 'something else');
  }

  #dict(): Map<PickleValue, PickleValue> {
    const value = this.#stack.at(-1);
    return value instanceof Map ? value : this.#fail('a dictionary', 'something else');
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  /** For values that take memory of their own; the others are part of the stack. */
  #make(value: PickleValue): void {
    this.#values++;
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    return value === undefined ? this.#fail('a value', 'an empty stack') : value;
  }

  #popMark(): PickleValue[] {
    const items = this.#stack;
    this.#stack = this.#marks.pop() ?? this.#fail('a mark', 'none');
    return items;
  }

  #remember(index: number): void {
    const value = this.#stack.at(-1);
    this.#memo.set(index, value === undefined ? this.#fail('a value', 'an empty stack') : value);
  }

  /** References are shared, never copied: a small file cannot become a large value. */
  #recall(index: number): void {
    const value = this.#memo.get(index);
    this.#push(value === undefined ? this.#fail('a value that was kept', `number ${index}, which was not`) : value);
  }

  #byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  /** Place of the next `count` bytes, which are there. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) return this.#fail(`${count} more bytes`, `${this.#bytes.length - at}`);
    this.#at += count;
    return at;
  }

  #text(length: number): string {
    const at = this.#take(length);
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.#fail('UTF-8', 'other bytes');
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > 1000) return this.#fail('the end of a line', 'none');
    const text = this.#text(end - this.#at);
    this.#at++;
    return text;
  }

  /** Little-endian two's complement. */
  #long(length: number): number | bigint {
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]!);
    if (length > 0 && this.#bytes[at + length - 1]! >= 0x80) value -= 1n << BigInt(8 * length);
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  #fail(expected: string, got: string): never {
    throw new CheckpointError({ where: 'unpickle', name: `byte ${this.#at}`, expected, got, reason: 'InvalidPickle' });
  }
}
