/**
 * A port in another language, as the files it wrote: <directory>/<level>/<name>.safetensors with its outputs by name.
 *
 * Reading files is all the coupling there is: no bindings, no server. A case without a file is skipped, never passed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMemorySource } from '../../runtime/checkpoint/byte-source.ts';
import { openSafetensors } from '../../runtime/checkpoint/safetensors.ts';
import type { Precision } from '../budget.ts';
import type { NamedTensor } from '../compare.ts';
import type { Subject } from '../run.ts';

export function recordedSubject(directory: string, precision: Precision): Subject {
  const path = (level: string, name: string): string => join(directory, level, `${name}.safetensors`);
  return {
    name: 'recorded',
    precision,
    levels: ['attention', 'layer', 'encoder', 'heads', 'led', 'led-step', 'generation'],
    skips: ({ level, name, expectedError }) => {
      if (expectedError) return 'recorded files cannot show a refusal';
      return existsSync(path(level, name)) ? null : `no file for it in ${directory}`;
    },
    async run({ level, name }) {
      // NaN is a wrong result here, not a broken file.
      const bytes = new Uint8Array(readFileSync(path(level, name)));
      const file = await openSafetensors(createMemorySource(bytes), { allowNonFinite: true });
      const outputs = new Map<string, NamedTensor>();
      for (const [output, { dtype }] of file.tensors) {
        const isIds = /^[IU]/.test(dtype); // `sequences` of level generation
        const { shape, data } = isIds ? await file.integers(output) : await file.floats(output);
        outputs.set(output, { shape, data: data instanceof Int32Array ? Float64Array.from(data) : data });
      }
      return outputs;
    },
  };
}
