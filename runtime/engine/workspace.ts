/**
 * Every buffer of a forward pass, sized before the first operation from the config and the packed documents. Nothing is
 * allocated later, so a pass that begins can finish; what does not fit is refused by arithmetic.
 *
 * Read before: embed.ts. Read next: encoder-layer.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import { MemoryError } from '../../contract/errors.ts';
import type { DeviceHandle, DeviceIndices, DeviceRows, DeviceSequence, Kernels } from '../../contract/kernels.ts';
import type { Want } from '../../contract/model.ts';
import { allocateHead, type HeadSpace, headElements } from './heads.ts';
import { type Packed, packDocuments } from './pack.ts';

/** Rows of the feed-forward layer that are widened at once: its buffer does not grow with the document. */
const feedForwardBlock = 512;

/** The rows a layer produces: all of them, or the few that somebody asked for in the last layer. */
export interface ProducedRows {
  /** (R, C) Their hidden states, before and after the layer. */
  readonly hiddenStates: DeviceRows;
  /** (R, C) Local queries; later whatever a projection gives. */
  readonly query: DeviceRows;
  /** (R, C) */
  readonly attended: DeviceRows;
  /** Null: all rows. */
  readonly indices: DeviceIndices | null;
  /** True when no produced row needs local attention: every one of them is global. */
  readonly allGlobal: boolean;
  /** The global tokens among them; null when there are none. */
  readonly globals: ProducedGlobals | null;
}

export interface ProducedGlobals {
  /** The packed documents with only these tokens marked global. */
  readonly sequence: DeviceSequence;
  /** (G) Their rows in the document. */
  readonly rows: DeviceIndices;
  /** (G) Their rows in `attended`. */
  readonly outRows: DeviceIndices;
  /** (G, C) */
  readonly hiddenStates: DeviceRows;
  /** (G, C) */
  readonly query: DeviceRows;
}

export interface Workspace {
  readonly sequence: DeviceSequence;
  /** (T, C) */
  readonly key: DeviceRows;
  /** (T, C) */
  readonly value: DeviceRows;
  /** (block, intermediateSize) */
  readonly intermediate: DeviceRows;
  /** All rows. */
  readonly all: ProducedRows;
  /** What the last layer produces; the same as `all` unless only some rows are wanted. */
  readonly last: ProducedRows;
  /** Null when no head was asked for. */
  readonly head: HeadSpace | null;
  /** For attention probabilities on request; null otherwise. */
  readonly probabilities: { readonly local: DeviceRows; readonly global: DeviceRows | null } | null;
  readonly handles: readonly DeviceHandle[];
}

/** What the size of an encoder's buffers depends on, Longformer's or LED's. */
export interface EncoderShape {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly oneSidedWindow: readonly number[];
}

export interface WorkspaceRequest {
  /** Rows the last layer must produce, ascending; null = all. */
  readonly lastRows: Int32Array | null;
  readonly attentions: boolean;
  /** A Longformer's head and what it is asked for; null: no head. */
  readonly head: { readonly config: LongformerConfig; readonly want: Want } | null;
  /** Who complains. Default: longformer.forward. */
  readonly where?: string;
}

/** Bytes of all buffers of a pass, in float32. */
export function workspaceBytes(config: EncoderShape, packed: Packed, request: WorkspaceRequest): number {
  const { hiddenSize, intermediateSize, heads, oneSidedWindow } = config;
  const globals = packed.roles.globalIndices.length;
  let floats = (5 * packed.rows + 2 * globals) * hiddenSize;
  floats += Math.min(feedForwardBlock, packed.rows) * intermediateSize;
  if (request.lastRows) floats += 5 * request.lastRows.length * hiddenSize;
  if (request.attentions) {
    for (const shape of probabilityShapes(packed, heads, Math.max(...oneSidedWindow))) floats += shape[0] * shape[1];
  }
  if (request.head) floats += headElements(request.head.config, packed, request.head.want);
  return 4 * floats;
}

/** Bytes of the buffers for one document of `tokens` tokens, one of them global, when only the head's outputs are wanted. */
export function workspaceBytesOf(config: LongformerConfig, tokens: number): number {
  const globalAttentionMask = new Int32Array(tokens);
  globalAttentionMask[0] = 1;
  const packed = packDocuments([{ inputIds: new Int32Array(tokens), globalAttentionMask }]);
  return workspaceBytes(config, packed, { lastRows: null, attentions: false, head: { config, want: {} } });
}

/**
 * Allocates the buffers of a pass. What was allocated is freed again when something does not fit.
 *
 * @throws MemoryError
 */
export function allocateWorkspace(
  kernels: Kernels,
  config: EncoderShape,
  packed: Packed,
  request: WorkspaceRequest,
): Workspace {
  const { where = 'longformer.forward' } = request;
  expectRoomFor(kernels, where, workspaceBytes(config, packed, request), packed.rows);
  const handles: DeviceHandle[] = [];
  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    handles.push(handle);
    return handle;
  };
  try {
    const { hiddenSize, intermediateSize, heads, oneSidedWindow } = config;
    const rowsOf = (rows: number, features = hiddenSize): DeviceRows => keep(kernels.allocate(rows, features));
    const { rows, roles } = packed;
    const produced = (indices: Int32Array | null): ProducedRows => {
      const count = indices?.length ?? rows;
      return {
        hiddenStates: rowsOf(count),
        query: rowsOf(count),
        attended: rowsOf(count),
        indices: indices && keep(kernels.loadIndices(indices)),
        ...producedGlobals(indices),
      };
    };
    const producedGlobals = (indices: Int32Array | null): Pick<ProducedRows, 'globals' | 'allGlobal'> => {
      const outRowOf = new Map(indices ? [...indices].map((row, i) => [row, i]) : []);
      const wanted = roles.globalIndices.filter(row => !indices || outRowOf.has(row));
      if (wanted.length === 0) return { globals: null, allGlobal: false };
      return {
        allGlobal: wanted.length === (indices?.length ?? rows),
        globals: {
          sequence: keep(kernels.loadSequence({ ...roles, globalIndices: wanted })),
          rows: keep(kernels.loadIndices(wanted)),
          outRows: keep(kernels.loadIndices(indices ? wanted.map(row => outRowOf.get(row)!) : wanted)),
          hiddenStates: rowsOf(wanted.length),
          query: rowsOf(wanted.length),
        },
      };
    };
    const all = produced(null);
    const last = request.lastRows ? produced(request.lastRows) : all;
    const [local, global] = probabilityShapes(packed, heads, Math.max(...oneSidedWindow));
    return {
      sequence: keep(kernels.loadSequence(roles)),
      key: rowsOf(rows),
      value: rowsOf(rows),
      intermediate: rowsOf(Math.min(feedForwardBlock, rows), intermediateSize),
      all,
      last,
      head: request.head && allocateHead(kernels, packed, request.lastRows, request.head, keep),
      probabilities: request.attentions
        ? { local: rowsOf(...local), global: global[0] > 0 ? rowsOf(...global) : null }
        : null,
      handles,
    };
  } catch (error) {
    kernels.free(...handles);
    throw error;
  }
}

/** Refuses a workspace by arithmetic. tokens: what it is for. @throws MemoryError */
export function expectRoomFor(kernels: Kernels, where: string, needed: number, tokens: number): void {
  const room = kernels.availableBytes();
  if (needed <= room) return;
  throw new MemoryError({
    where,
    name: 'documents',
    expected: `a workspace of at most ${room} bytes`,
    got: `${needed} bytes for ${tokens} tokens`,
    hint: 'run fewer or shorter documents at once.',
  });
}

/** Largest probabilities of any one document: local (H * T', columns) and global (H * G', T'). */
function probabilityShapes(
  packed: Packed,
  heads: number,
  oneSidedWindow: number,
): [[number, number], [number, number]] {
  const longest = Math.max(...packed.lengths);
  const globals = Math.max(...packed.globalCounts);
  return [
    [heads * longest, globals + 2 * oneSidedWindow + 1],
    [heads * globals, longest],
  ];
}
