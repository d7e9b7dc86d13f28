/**
 * Throws damaged archives, streams and pickles at openPytorch; `npm run fuzz` runs it. Anything but acceptance or a typed error is a fault,
 * and so is an accepted tensor without as many elements as its shape says.
 *
 * Pickles are damaged before the archive is made round them: otherwise the checksum would refuse nearly all of them.
 */
import { LongformerError } from '../../../contract/errors.ts';
import { createMemorySource } from '../byte-source.ts';
import { mutate, randomNumbers } from '../mutate.ts';
import {
  bytesOf,
  global,
  integer,
  long,
  type Ops,
  orderedDict,
  sixNumbers,
  storage,
  text,
  zip,
} from './build-pytorch.ts';
import { goodPickles, goodPytorch, hostilePytorch } from './hostile-pytorch.ts';
import { openPytorch } from './open-pytorch.ts';

/** Instructions, and numbers that mean something in an archive. */
const tokens: readonly Uint8Array[] = (
  [
    ...[
      '(',
      't',
      ')',
      '}',
      ']',
      'u',
      's',
      'e',
      'a',
      'R',
      'b',
      'Q',
      'N',
      '.',
      'q\u0000',
      'h\u0000',
      'h\u0001',
      '\u0085',
      'PK',
    ],
    ...[[0x80, 2], [0x85], [0x86], [0x87], [0x88], [0x8a, 0], [0x8a, 255], [0x58, 255, 255, 255, 255], [0xff, 0xff]],
    ...[
      [0xff, 0xff, 0xff, 0xff],
      [1, 0, 24, 0],
      [0x50, 0x4b, 1, 2],
      [0x50, 0x4b, 6, 6],
      [0x50, 0x4b, 6, 7],
    ],
    ...[text('a'), text('0'), text('state_dict'), integer(-1), long(2n ** 62n), orderedDict, storage()],
    ...['torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_parameter', 'torch.HalfStorage', 'os.system'].map(
      global,
    ),
  ] as Ops[]
).map(ops => bytesOf([ops]));

const pickleSeeds = [...goodPickles];
const fileSeeds = [...goodPytorch, ...hostilePytorch.map(({ bytes }) => bytes)].filter(
  bytes => bytes.length > 0 && bytes.length < 2000,
);

/** Verdict on a file. @throws whatever is not a typed error, and Error when a tensor is not what it says */
export async function judgePytorch(bytes: Uint8Array): Promise<string> {
  try {
    const file = await openPytorch(createMemorySource(bytes), { allowNonFinite: true });
    for (const { name, shape, dtype } of file.tensors.values()) {
      const { data } = /^B?F/.test(dtype) ? await file.floats(name) : await file.integers(name);
      // A size of 0 makes any others mean nothing.
      const elements = shape.includes(0) ? 0 : shape.reduce((product, extent) => product * extent, 1);
      if (data.length !== elements) throw new Error('an accepted tensor contradicts itself');
    }
    return 'accepted';
  } catch (error) {
    if (error instanceof LongformerError) return (error as { reason?: string }).reason ?? error.code;
    throw error;
  }
}

/** @throws the first fault, with the input as its message and the fault as its cause. */
export async function fuzzPytorch(count: number, seed: number): Promise<{ verdicts: ReadonlyMap<string, number> }> {
  const random = randomNumbers(seed);
  const verdicts = new Map<string, number>();
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
  const damaged = (): Uint8Array => {
    if (random(2) === 0) return mutate(pick(fileSeeds), fileSeeds, tokens, random);
    const pickle = mutate(pick(pickleSeeds), pickleSeeds, tokens, random);
    return zip([
      { name: 'm/data.pkl', data: pickle },
      { name: 'm/data/0', data: sixNumbers },
    ]);
  };
  for (let input = 0; input < count; input++) {
    const bytes = damaged();
    try {
      const verdict = `pytorch ${await judgePytorch(bytes)}`;
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    } catch (cause) {
      const shown = JSON.stringify(String.fromCharCode(...bytes));
      throw new Error(`seed ${seed}, input ${input}, pytorch: ${shown}`, { cause });
    }
  }
  return { verdicts };
}
