/**
 * Decoding step by step: caches of the past of all groups, tokens down, logits up, one wait each.
 *
 * All memory is taken when decoding starts. A beam that continues another one's past is a row number in `parents`: the caches are gathered
 * into the one spare buffer, layer by layer, and buffers change places. Read before: led-decoder.ts. Read next: led-model.ts.
 */
import type { LedConfig } from '../../contract/config.ts';
import { expectLength, expectRange, MemoryError, ValueRangeError } from '../../contract/errors.ts';
import type { DeviceHandle, DeviceIndices, DeviceLinear, DeviceRows, Kernels } from '../../contract/kernels.ts';
import type { Decoding } from '../../contract/model.ts';
import { sumRows } from './embed.ts';
import { allocateDecoderRows, type DecoderRows, decoderFloats, decoderLayer } from './led-decoder.ts';
import type { ReadSources } from './led-encoder.ts';
import type { LedWeights } from './led-weights.ts';

const where = 'led.decoding';

/** Rows of a prompt computed together: positions times groups. */
const promptRows = 64;

/** Bytes that decoding takes besides what the sources take, in float32. */
export function decodingBytes(config: LedConfig, groups: number, maxTargetLength: number): number {
  const { hiddenSize, vocabSize, decoderLayers } = config;
  const caches = (2 * decoderLayers + 1) * maxTargetLength * groups * hiddenSize;
  const rows = groups + promptPositions(groups, maxTargetLength) * groups;
  const indices = 2 * maxTargetLength * groups + groups;
  return 4 * (caches + decoderFloats(config, rows) + groups * vocabSize + indices);
}

/** Positions of a prompt that are computed together: at least one. */
const promptPositions = (groups: number, maxTargetLength: number): number =>
  Math.max(1, Math.min(maxTargetLength, Math.floor(promptRows / groups)));

/**
 * Takes all memory for `maxTargetLength` positions of the groups.
 *
 * groupDocuments: (groups) the source each group reads. @throws ValueRangeError, MemoryError
 */
export function startDecoding(
  kernels: Kernels,
  config: LedConfig,
  weights: LedWeights,
  vocabulary: DeviceLinear,
  sources: ReadSources,
  groupDocuments: Int32Array,
  maxTargetLength: number,
): Decoding {
  const groups = groupDocuments.length;
  expectTarget(config, sources, groupDocuments, maxTargetLength);
  expectRoom(kernels, decodingBytes(config, groups, maxTargetLength), groups, maxTargetLength);
  const handles: DeviceHandle[] = [];
  const keep = <Handle extends DeviceHandle>(handle: Handle): Handle => {
    handles.push(handle);
    return handle;
  };
  try {
    const cacheRows = (): DeviceRows => keep(kernels.allocate(maxTargetLength * groups, config.hiddenSize));
    const documents = keep(kernels.loadIndices(groupDocuments));
    return new StepDecoding(kernels, config, weights, sources, {
      vocabulary,
      handles,
      documents,
      groupDocuments: groupDocuments.slice(),
      capacity: maxTargetLength,
      caches: weights.decoder.layers.map(() => ({ key: cacheRows(), value: cacheRows() })),
      spare: cacheRows(),
      step: allocateDecoderRows(kernels, config, groups, keep),
      prompt: allocateDecoderRows(kernels, config, promptPositions(groups, maxTargetLength) * groups, keep),
      logits: keep(kernels.allocate(groups, config.vocabSize)),
      gathers: gatherLengths(maxTargetLength).map(positions => {
        const rows = new Int32Array(positions * groups);
        return { rows, indices: keep(kernels.loadIndices(rows)) };
      }),
    });
  } catch (error) {
    kernels.free(...handles);
    throw error;
  }
}

interface Memory {
  readonly vocabulary: DeviceLinear;
  readonly handles: readonly DeviceHandle[];
  readonly documents: DeviceIndices;
  readonly groupDocuments: Int32Array;
  readonly capacity: number;
  /** (decoderLayers)(capacity * groups, C) */
  readonly caches: { key: DeviceRows; value: DeviceRows }[];
  spare: DeviceRows;
  readonly step: DecoderRows;
  readonly prompt: DecoderRows;
  /** (groups, V) */
  readonly logits: DeviceRows;
  /** Row numbers for gathering the caches, for more and more positions: a short past is not gathered as if it were the longest. */
  readonly gathers: readonly { readonly rows: Int32Array; readonly indices: DeviceIndices }[];
}

/** 16, 32, 64, … and at last all positions. */
function gatherLengths(maxTargetLength: number): number[] {
  const lengths = [];
  for (let positions = 16; positions < maxTargetLength; positions *= 2) lengths.push(positions);
  return [...lengths, maxTargetLength];
}

class StepDecoding implements Decoding {
  readonly groups: number;
  length = 0;
  readonly #kernels: Kernels;
  readonly #config: LedConfig;
  readonly #weights: LedWeights;
  readonly #sources: ReadSources;
  readonly #memory: Memory;
  /** (rows of the prompt, C): embeddings of the tokens that are fed. */
  readonly #sums: Float64Array<ArrayBuffer>;
  #disposed = false;

  constructor(kernels: Kernels, config: LedConfig, weights: LedWeights, sources: ReadSources, memory: Memory) {
    this.groups = memory.groupDocuments.length;
    this.#kernels = kernels;
    this.#config = config;
    this.#weights = weights;
    this.#sources = sources;
    this.#memory = memory;
    this.#sums = new Float64Array(memory.prompt.hiddenStates.rows * config.hiddenSize);
  }

  async prefill(tokenIds: Int32Array): Promise<Float32Array | Float64Array> {
    this.#expectAlive();
    const { groups } = this;
    const { capacity } = this.#memory;
    const positions = tokenIds.length / groups;
    if (this.length > 0) fail('prefill', 'to be the first call', `a past of ${this.length}`);
    if (positions === 0 || !Number.isInteger(positions)) {
      fail('tokenIds', `one or more tokens for each of ${groups} groups`, String(tokenIds.length));
    }
    if (positions > capacity) fail('tokenIds', `at most ${capacity} tokens for each group`, String(positions));
    expectRange(where, 'tokenIds', tokenIds, 0, this.#config.vocabSize - 1);
    const together = this.#memory.prompt.hiddenStates.rows / groups;
    while (positions - this.length >= together) this.#feed(this.#memory.prompt, tokenIds, positions, together);
    while (this.length < positions) this.#feed(this.#memory.step, tokenIds, positions, 1);
    return await this.#logits(positions % together === 0 ? this.#memory.prompt : this.#memory.step);
  }

  async step(tokenIds: Int32Array, parents: Int32Array | null): Promise<Float32Array | Float64Array> {
    this.#expectAlive();
    const { capacity } = this.#memory;
    if (this.length === capacity) fail('step', `at most ${capacity} tokens, as decoding was started for`, 'one more');
    expectLength(where, 'tokenIds', tokenIds, this.groups);
    expectRange(where, 'tokenIds', tokenIds, 0, this.#config.vocabSize - 1);
    if (parents) this.#reorder(parents);
    this.#feed(this.#memory.step, tokenIds, 1, 1);
    return await this.#logits(this.#memory.step);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#kernels.free(...this.#memory.handles);
  }

  /** `n` positions from `tokenIds` (groups, positions): those after the past, or the only ones. */
  #feed(rows: DecoderRows, tokenIds: Int32Array, positions: number, n: number): void {
    const { groups, length: past } = this;
    const { tables, embeddingNorm, layers } = this.#weights.decoder;
    const { hiddenStates } = rows;
    const first = positions === 1 ? 0 : past;
    sumRows(
      n * groups,
      this.#config.hiddenSize,
      row => {
        const position = Math.floor(row / groups);
        const token = tokenIds[(row % groups) * positions + first + position]!;
        return [
          [tables.words, token],
          [tables.positions, past + position],
        ];
      },
      (values, firstRow) => this.#kernels.write(hiddenStates, values, firstRow),
      this.#sums.subarray(0, n * groups * this.#config.hiddenSize),
    );
    this.#kernels.addLayerNorm(hiddenStates, hiddenStates, null, embeddingNorm, this.#config.layerNormEps);
    const reading = {
      sources: this.#sources,
      groups,
      groupDocuments: this.#memory.documents,
      past,
      target: null,
      probabilities: null,
    };
    for (const [layer, weights] of layers.entries()) {
      decoderLayer(this.#kernels, this.#config, weights, rows, this.#memory.caches[layer]!, layer, reading);
    }
    this.length += n;
  }

  /** (groups, V) of the last position of `rows`. */
  async #logits({ hiddenStates }: DecoderRows): Promise<Float32Array | Float64Array> {
    const { logits, vocabulary } = this.#memory;
    const last = { inputRow: hiddenStates.rows - this.groups, rowCount: this.groups };
    this.#kernels.linear(logits, hiddenStates, vocabulary, last);
    return await this.#kernels.read(logits, 0, this.groups);
  }

  /** Each group goes on from its parent's past. Nothing is moved when all go on from their own. */
  #reorder(parents: Int32Array): void {
    const { groups, length } = this;
    const { groupDocuments, caches } = this.#memory;
    expectLength(where, 'parents', parents, groups);
    expectRange(where, 'parents', parents, 0, groups - 1);
    const stranger = parents.findIndex((parent, group) => groupDocuments[parent] !== groupDocuments[group]);
    if (stranger >= 0) {
      const document = groupDocuments[stranger];
      fail(`parents[${stranger}]`, `a group that reads document ${document}`, String(parents[stranger]));
    }
    if (length === 0 || parents.every((parent, group) => parent === group)) return;
    const { rows, indices } = this.#memory.gathers.find(({ rows }) => rows.length >= length * groups)!;
    for (let row = 0; row < rows.length; row++) rows[row] = row - (row % groups) + parents[row % groups]!;
    this.#kernels.writeIndices(indices, rows);
    for (const cache of caches) {
      for (const part of ['key', 'value'] as const) {
        this.#kernels.gatherRows(this.#memory.spare, cache[part], indices);
        [this.#memory.spare, cache[part]] = [cache[part], this.#memory.spare];
      }
    }
  }

  #expectAlive(): void {
    if (this.#disposed) fail('decoding', 'one that is alive', 'one that was disposed of');
  }
}

function expectTarget(
  config: LedConfig,
  sources: ReadSources,
  groupDocuments: Int32Array,
  maxTargetLength: number,
): void {
  if (groupDocuments.length === 0) fail('groupDocuments', 'at least one group', 'none');
  expectRange(where, 'groupDocuments', groupDocuments, 0, sources.lengths.length - 1);
  const most = config.maxDecoderPositionEmbeddings;
  if (Number.isInteger(maxTargetLength) && maxTargetLength >= 1 && maxTargetLength <= most) return;
  fail('maxTargetLength', `an integer in 1..${most} (max_decoder_position_embeddings)`, String(maxTargetLength));
}

function expectRoom(kernels: Kernels, needed: number, groups: number, maxTargetLength: number): void {
  const room = kernels.availableBytes();
  if (needed <= room) return;
  throw new MemoryError({
    where,
    name: 'groups',
    expected: `caches of at most ${room} bytes`,
    got: `${needed} bytes for ${groups} groups of ${maxTargetLength} tokens`,
    hint: 'decode fewer beams or documents at once, or shorter texts.',
  });
}

function fail(name: string, expected: string, got: string): never {
  throw new ValueRangeError({ where, name, expected, got });
}
