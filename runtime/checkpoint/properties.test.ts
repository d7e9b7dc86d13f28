/** What holds for all files: what is written is read, and what is damaged is refused by name or harmless. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LongformerError } from '../../contract/errors.ts';
import { createMemorySource } from './byte-source.ts';
import { fuzz, judgeConfig, judgeHeader } from './fuzz.ts';
import { openSafetensors } from './safetensors.ts';
import { createSafetensorsWriter, writeSafetensors } from './safetensors-writer.ts';

const name = fc.string({ unit: 'grapheme' }).filter(text => text !== '__metadata__');
const shape = fc.array(fc.nat(4), { maxLength: 4 });
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });

const tensor = fc
  .record({ name, shape, dtype: fc.constantFrom('F64', 'F32', 'I64', 'I32', 'U8', 'BF16') })
  .chain(declaration => {
    const length = declaration.shape.reduce((product, extent) => product * extent, 1);
    const all = { minLength: length, maxLength: length };
    const data = {
      F64: fc.array(finite, all).map(values => Float64Array.from(values)),
      F32: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), all).map(values => Float32Array.from(values)),
      I64: fc.array(fc.integer(), all).map(values => Int32Array.from(values)),
      I32: fc.array(fc.integer(), all).map(values => Int32Array.from(values)),
      U8: fc.uint8Array(all),
      // The patterns with an exponent of all ones are infinities and NaN.
      BF16: fc
        .uint16Array(all)
        .map(bits => new Uint8Array(bits.map(each => ((each & 0x7f80) === 0x7f80 ? 0 : each)).buffer)),
    }[declaration.dtype] as fc.Arbitrary<Float64Array | Float32Array | Int32Array | Uint8Array<ArrayBuffer>>;
    return data.map(values => ({ ...declaration, data: values }));
  });
const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 });
const metadata = fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string())).map(entries => new Map(entries));

describe('properties', () => {
  test('what is written is read, bit by bit', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, texts) => {
        const file = await openSafetensors(createMemorySource(writeSafetensors(written, texts)));
        expect(file.tensors.size).toBe(written.length);
        expect(file.metadata).toEqual(texts);
        for (const { name, dtype, shape, data } of written) {
          expect(file.info(name)).toMatchObject({ dtype, shape });
          if (dtype === 'BF16') {
            const { data: read } = await file.floats(name);
            const upper = new Uint16Array(read.buffer).filter((_, i) => i % 2 === 1);
            expect(new Uint8Array(upper.buffer)).toEqual(data);
          } else if (dtype.startsWith('F')) expect(await file.floats(name)).toEqual({ shape, data });
          else expect(await file.integers(name)).toEqual({ shape, data: Int32Array.from(data) });
        }
      }),
    );
  });

  test('the order of the tensors does not matter, nor that of the pieces', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer({ min: 1, max: 5 }), async (written, step) => {
        const whole = writeSafetensors(written);
        expect(writeSafetensors(written.toReversed())).toEqual(whole);
        const bytes = new Uint8Array(whole.length);
        const sink = {
          write: async (position: number, piece: Uint8Array) => bytes.set(piece, position),
          commit: async () => {},
          discard: async () => {},
        };
        const writer = await createSafetensorsWriter(sink, written.toReversed());
        for (const { name, dtype, data } of written.toReversed()) {
          const width = dtype === 'BF16' ? 2 : 1; // entries of the array for one element
          const piece = step * width;
          for (let begin = (Math.ceil(data.length / piece) - 1) * piece; begin >= 0; begin -= piece) {
            await writer.write(name, begin / width, data.subarray(begin, begin + piece));
          }
        }
        await writer.finish();
        expect(bytes).toEqual(whole);
      }),
    );
  });

  test('a damaged file is refused with a typed error, or still makes sense', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(tensors, damage, (written, changes) => {
        const bytes = writeSafetensors(written);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        judgeHeader(bytes); // throws what is not typed
      }),
      { numRuns: 1000 },
    );
  });

  test('a file cut anywhere is never accepted', () => {
    fc.assert(
      fc.property(tensors, fc.nat(), (written, at) => {
        const bytes = writeSafetensors(written);
        expect(judgeHeader(bytes.subarray(0, at % bytes.length))).not.toBe('accepted');
      }),
    );
  });

  test('any JSON is a config or a typed error', () => {
    const keys = fc.constantFrom(
      ...[
        'model_type',
        'attention_window',
        'attention_dilation',
        'id2label',
        'num_labels',
        'hidden_act',
        'architectures',
      ],
      ...['num_hidden_layers', 'num_attention_heads', 'hidden_size', 'layer_norm_eps', '__proto__', 'pad_token_id'],
    );
    const value = fc.oneof(fc.constant('longformer'), fc.integer({ min: -2, max: 600 }), fc.jsonValue());
    fc.assert(
      fc.property(fc.array(fc.tuple(keys, value)), entries => {
        const fields = entries.map(([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)}`);
        judgeConfig(`{"model_type":"longformer"${fields.map(field => `,${field}`).join('')}}`);
      }),
      { numRuns: 1000 },
    );
  });

  test('20,000 mutated files and configs', () => {
    const { inputs, verdicts } = fuzz(20_000, 7);
    expect([...verdicts.values()].reduce((sum, times) => sum + times, 0)).toBe(inputs);
    for (const verdict of ['safetensors accepted', 'safetensors InvalidOffset', 'config accepted', 'config E_CONFIG']) {
      expect(verdicts.get(verdict)).toBeGreaterThan(50);
    }
    expect(fuzz(1000, 8)).toEqual(fuzz(1000, 8));
  });

  test('the judges do judge', () => {
    expect(judgeConfig('{')).toBe('E_CONFIG');
    expect(() => judgeConfig(undefined as unknown as string)).toThrow(TypeError);
    expect(() => judgeHeader(undefined as unknown as Uint8Array)).toThrow(TypeError);
    expect(LongformerError.prototype).toBeInstanceOf(Error);
  });
});
