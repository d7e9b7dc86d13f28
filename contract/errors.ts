/**
 * The only errors this package throws on purpose (besides TypeError for a wrong kind of argument).
 *
 * Grammar of every message: `<where>: "<name>" expected <what>, got <what>.`, and when the caller can act a second line
 * `  Hint: …`. The same parts are fields, so that a program never has to parse the sentence.
 */
export interface Complaint {
  /** Function or parser that complains: `parseConfig`, `safetensors`, `longformer.forward`. */
  readonly where: string;
  /** Argument, field, tensor or place. */
  readonly name: string;
  readonly expected: string;
  readonly got: string;
  readonly hint?: string;
  readonly cause?: unknown;
}

export type ErrorCode =
  | 'E_SHAPE'
  | 'E_RANGE'
  | 'E_CONFIG'
  | 'E_CHECKPOINT'
  | 'E_TOKENIZER'
  | 'E_UNSUPPORTED'
  | 'E_IO'
  | 'E_CASE'
  | 'E_MEMORY'
  | 'E_DEVICE'
  | 'E_HUB'
  | 'E_ABORTED';

/** Base of all typed errors. `code` is stable; the message may be reworded. */
export class LongformerError extends Error {
  readonly code: ErrorCode;
  readonly where: string;
  readonly expected: string;
  readonly got: string;
  /** What the complaint is about. (Error.name keeps its usual meaning, the class.) */
  readonly subject: string;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, complaint: Complaint) {
    const { where, name, expected, got, hint, cause } = complaint;
    const sentence = printable(`${where}: "${shorten(name)}" expected ${expected}, got ${got}.`);
    super(hint === undefined ? sentence : `${sentence}\n  Hint: ${hint}`, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.where = where;
    this.subject = name;
    this.expected = expected;
    this.got = got;
    this.hint = hint;
  }
}

/** An array of the wrong shape or length. */
export class ShapeError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_SHAPE', complaint);
  }
}

/** A value outside its range: ids, masks, positions, options. */
export class ValueRangeError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_RANGE', complaint);
  }
}

/** A config.json that cannot be honoured. */
export class ConfigError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_CONFIG', complaint);
  }
}

/**
 * What is wrong with a checkpoint file, finer than `code` and as stable. The first block has the names of the safetensors crate.
 */
export type CheckpointReason =
  | 'HeaderTooSmall'
  | 'HeaderTooLarge'
  | 'InvalidHeaderLength'
  | 'InvalidHeader'
  | 'InvalidHeaderDeserialization'
  | 'TensorInvalidInfo'
  | 'ValidationOverflow'
  | 'InvalidOffset'
  | 'MisalignedSlice'
  | 'MetadataIncompleteBuffer'
  | 'TensorNotFound'
  // Ours:
  | 'DuplicateName'
  | 'TooManyTensors'
  | 'RankTooLarge'
  | 'WrongDtype'
  | 'NotFinite'
  | 'IntegerOutOfRange'
  | 'InvalidIndex'
  | 'UnsafeShardName'
  | 'MissingFile'
  | 'InvalidPickle'
  | 'InvalidArchive'
  | 'WrongChecksum'
  | 'ConfigMismatch';

/** A checkpoint file that is damaged, hostile, incomplete or does not fit its config. */
export class CheckpointError extends LongformerError {
  readonly reason: CheckpointReason | undefined;

  constructor(complaint: Complaint & { readonly reason?: CheckpointReason }) {
    super('E_CHECKPOINT', complaint);
    this.reason = complaint.reason;
  }
}

/** Tokenizer files or text that cannot be tokenized as asked. */
export class TokenizerError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_TOKENIZER', complaint);
  }
}

/** Something this package does not do; `hint` names what would work. */
export class UnsupportedError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_UNSUPPORTED', complaint);
  }
}

/** A file that cannot be read or written. */
export class IoError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_IO', complaint);
  }
}

/** A conformance case that is damaged or does not follow FORMAT.md. */
export class CaseError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_CASE', complaint);
  }
}

/** More memory than a backend can have, known by arithmetic before anything is allocated or refused by the platform. */
export class MemoryError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_MEMORY', complaint);
  }
}

/** Lost: driver, cable or `destroy`; nothing made on the device is good any more. The others are refusals of single commands. */
export type DeviceReason = 'Lost' | 'Validation' | 'Internal';

/** A GPU that stopped answering or refused a command. Memory it does not have is a MemoryError. */
export class DeviceError extends LongformerError {
  readonly reason: DeviceReason;

  constructor(complaint: Complaint & { readonly reason: DeviceReason }) {
    super('E_DEVICE', complaint);
    this.reason = complaint.reason;
  }
}

/** NotFound: a file, or weights, of a model that is there. Gated: terms have to be accepted. Network: may pass, was tried again. */
export type HubReason =
  | 'ModelNotFound'
  | 'RevisionNotFound'
  | 'NotFound'
  | 'Unauthorized'
  | 'Gated'
  | 'Offline'
  | 'Network'
  | 'BadResponse'
  | 'Redirect'
  | 'UnsafeName'
  | 'WrongSize'
  | 'WrongHash';

/** A model that cannot be fetched from the hub, or files of it that are not what the hub says they are. */
export class HubError extends LongformerError {
  readonly reason: HubReason;

  constructor(complaint: Complaint & { readonly reason: HubReason }) {
    super('E_HUB', complaint);
    this.reason = complaint.reason;
  }
}

/** Work ended by an AbortSignal. */
export class AbortedError extends LongformerError {
  constructor(complaint: Complaint) {
    super('E_ABORTED', complaint);
  }
}

/** Text of others, as names in files are, with everything escaped that would move a cursor, break a line or turn it around. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, c => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

const shorten = (name: string): string => (name.length > 200 ? `${name.slice(0, 200)}…` : name);

export const formatShape = (shape: readonly (number | bigint)[]): string => `(${shape.join(', ')})`;

/**
 * @throws ShapeError unless `tensor.shape` equals `expected` and the data has that many elements.
 */
export function expectShape(
  where: string,
  name: string,
  tensor: { readonly shape: readonly number[]; readonly data: { readonly length: number } },
  expected: readonly number[],
): void {
  const { shape, data } = tensor;
  const same = shape.length === expected.length && shape.every((extent, axis) => extent === expected[axis]);
  if (!same) throw new ShapeError({ where, name, expected: `shape ${formatShape(expected)}`, got: formatShape(shape) });
  const elements = expected.reduce((product, extent) => product * extent, 1);
  if (data.length !== elements) {
    throw new ShapeError({ where, name, expected: `${elements} elements`, got: String(data.length) });
  }
}

/**
 * @throws ShapeError unless `values` has `expected` elements.
 */
export function expectLength(where: string, name: string, values: { readonly length: number }, expected: number): void {
  if (values.length !== expected) {
    throw new ShapeError({ where, name, expected: `length ${expected}`, got: String(values.length) });
  }
}

/**
 * @throws ValueRangeError naming the first element that is not an integer in [lowest, highest].
 */
export function expectRange(
  where: string,
  name: string,
  values: ArrayLike<number>,
  lowest: number,
  highest: number,
  hint?: string,
): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    // Written so that NaN fails too.
    if (!(value >= lowest && value <= highest && Number.isInteger(value))) {
      throw new ValueRangeError({
        where,
        name: `${name}[${index}]`,
        expected: `${lowest}..${highest}`,
        got: String(value),
        ...(hint === undefined ? {} : { hint }),
      });
    }
  }
}
