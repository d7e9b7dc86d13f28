/** The engine over a linear memory: growth refused at any moment, models that cannot fit, and a thousand passes. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../contract/checkpoint.ts';
import { MemoryError } from '../contract/errors.ts';
import type { EncoderInputs } from '../contract/model.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { createLongformerModel } from '../runtime/engine/longformer-model.ts';
import { loadWeights } from '../runtime/engine/weights.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { instantiate, loadModule } from '../wasm/instantiate.ts';
import { WasmKernels } from '../wasm/kernels.ts';
import { conformanceDirectory } from './read-case.ts';

/** Forty documents of forty tokens: their workspace is larger than the weights. */
const documents: EncoderInputs[] = Array.from({ length: 40 }, (_, document) => ({
  inputIds: Int32Array.from({ length: 40 }, (_, t) => 3 + ((7 * t + document) % 28)),
}));

async function withCheckpoint<Result>(
  use: (checkpoint: Checkpoint) => Promise<Result>,
  name = 'encoder-2-layers',
): Promise<Result> {
  const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/${name}`);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Loads the model and runs it once. */
const answer = (kernels: WasmKernels): Promise<number[]> =>
  withCheckpoint(async checkpoint => {
    const model = await createBackend(kernels).loadLongformer(checkpoint);
    try {
      const outputs = await model.forward(documents);
      return outputs.flatMap(({ lastHiddenState }) => [...lastHiddenState!.data]);
    } finally {
      model.dispose();
    }
  });

describe('memory of the engine over wasm', () => {
  it('refused at the n-th growth, for every n: a MemoryError, and the same kernels answer afterwards', async () => {
    const module = await loadModule('baseline');
    let expected: number[] | undefined;
    let refusals = 0;
    for (let n = -1; n < 50; n++) {
      const { memory, exports } = await instantiate(module, 2 ** 28);
      const kernels = new WasmKernels('wasm-baseline', memory, exports, 2 ** 28);
      const real = memory.grow.bind(memory);
      let growths = 0;
      let refusing = n >= 0;
      memory.grow = pages => {
        // Twice, because a growth by more than is needed is followed by one that is needed.
        const number = growths++;
        if (refusing && (number === n || number === n + 1)) throw new RangeError('refused');
        return real(pages);
      };
      const first = await answer(kernels).catch((error: unknown) => error);
      expected ??= first as number[];
      if (first instanceof Error) {
        expect(first).toBeInstanceOf(MemoryError);
        refusals++;
      } else expect(first).toEqual(expected);
      if (n >= 0 && growths <= n) break;
      refusing = false;
      expect(await answer(kernels)).toEqual(expected);
    }
    expect(refusals).toBeGreaterThan(1);
  });

  it('is refused by arithmetic to a model beyond 4 GB, and nothing is read', async () => {
    const kernels = await createWasmKernels();
    await withCheckpoint(async checkpoint => {
      const huge: Checkpoint = {
        ...checkpoint,
        shape: name => (name.endsWith('intermediate.dense.weight') ? [40_000, 40_000] : checkpoint.shape(name)),
        tensor: name => expect.unreachable(`${name} was read`),
      };
      await expect(createBackend(kernels).loadLongformer(huge)).rejects.toThrow(
        /^engine.load: "weights" expected at most 4294\d+ bytes \(what wasm can still hold\), got 128\d+ bytes\.\n {2}Hint: use a smaller/,
      );
    });
  });

  it('is not taken for all logits of a long document: they are a stream', async () => {
    const kernels = await createWasmKernels();
    const [model, asIfLarge] = await withCheckpoint(async checkpoint => {
      const weights = await loadWeights(kernels, checkpoint, {});
      const { config } = checkpoint;
      return [config, { ...config, vocabSize: 2_000_000 }].map(it => createLongformerModel(kernels, it, weights));
    }, 'masked-lm');
    const [document] = documents;
    expect((await model!.forward([document!]))[0]!.logits!.shape).toEqual([40, 32]);
    await expect(asIfLarge!.forward([document!])).rejects.toThrow(
      /^longformer.forward: "logits" expected at most 268435456 bytes in the outputs, got 320000000 for 40 rows\.\n {2}Hint: .*want.logitRows/,
    );
    const blocks: number[] = [];
    await model!.forward([document!], {
      want: { logits: (_document, _first, { shape }) => void blocks.push(shape[0]!) },
    });
    expect(blocks).toEqual([40]);
  });

  it('does not grow in a thousand passes, linear or resident', async () => {
    const script = fileURLToPath(new URL('thousand-passes.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script]);
    const { bufferBytes, residentBytes, externalBytes } = JSON.parse(stdout) as Record<string, number>;
    expect(bufferBytes).toBe(0);
    expect(externalBytes).toBeLessThan(1e6);
    expect(residentBytes).toBeLessThan(8e6);
  });
});
