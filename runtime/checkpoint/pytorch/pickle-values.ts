/** What a pickle of a state dict can hold, as plain values: descriptions of tensors, never the tensors. Read next: pickle.ts. */

/** What a file says about a storage: a run of elements somewhere else in it. */
export interface StorageRef {
  readonly kind: 'storage';
  readonly dtype: string;
  readonly key: string;
  /** Elements. */
  readonly length: number;
}

/** A view of a storage. Nothing has been read or checked yet. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: StorageRef;
  /** Elements from the start of the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Elements between neighbours along each axis. */
  readonly strides: readonly number[];
}

/** A name that is on one of the lists of pickle.ts, and nothing but the name. */
export interface NameRef {
  readonly kind: 'name';
  readonly name: string;
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Map<PickleValue, PickleValue>
  | { readonly kind: 'list' | 'tuple'; readonly items: PickleValue[] }
  | NameRef
  | StorageRef
  | TensorRef;

export const isStorage = (value: PickleValue | undefined): value is StorageRef =>
  value !== null && typeof value === 'object' && 'kind' in value && value.kind === 'storage';

export const isTensor = (value: PickleValue | undefined): value is TensorRef =>
  value !== null && typeof value === 'object' && 'kind' in value && value.kind === 'tensor';
