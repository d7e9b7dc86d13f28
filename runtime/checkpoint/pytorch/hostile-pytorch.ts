/**
 * Every kind of damaged or hostile PyTorch file we know of, made in memory, with the whole message each is refused with: the negative suite
 * of this folder, and seeds of its fuzzing. Files of torch itself that are refused: fixtures/bad-*.bin.
 */
import {
  type ArchiveFields,
  archive,
  bytesOf,
  counts,
  dict,
  global,
  integer,
  long,
  type Ops,
  orderedDict,
  pickle,
  reduce,
  type StreamFields,
  sixNumbers,
  stateDict,
  storage,
  storageData,
  stream,
  type TensorFields,
  tensor,
  text,
  tuple,
  zip,
} from './build-pytorch.ts';

export interface HostilePytorch {
  readonly fault: string;
  readonly message: string;
  readonly bytes: Uint8Array;
}

const again = 'load it in Python and save it again: torch.save(model.state_dict(), …), or save_pretrained.';
const notRun =
  'nothing in it was run. In Python: torch.save(model.state_dict(), …), or save_pretrained, which writes safetensors.';
const many = (count: number): number[] => new Array<number>(count).fill(0);

/** The names of reliability lists, and what a whole pickled module asks for first. */
const names = [
  'os.system',
  'posix.system',
  '__builtin__.eval',
  '__builtin__.set',
  'builtins.getattr',
  '__main__.Net',
  'argparse.Namespace',
  'collections.defaultdict',
  'numpy.core.multiarray._reconstruct',
  'torch.Size',
  'torch.QInt8Storage',
  'torch.ComplexFloatStorage',
  'torch.storage.UntypedStorage',
  'torch.nn.modules.linear.Linear',
  'torch._utils._rebuild_tensor',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_qtensor',
  'torch._utils._rebuild_sparse_tensor',
  'torch._utils._rebuild_meta_tensor_no_storage',
  'torch._utils._rebuild_parameter_with_state',
  'torch._tensor._rebuild_from_type_v2',
];

const asking = (name: string): HostilePytorch => ({
  fault: `asks for ${name}`,
  message: `unpickle: "${name}" expected a state dict of plain tensors, got a pickle that asks for ${name}.\n  Hint: ${notRun}`,
  bytes: archive({ pickle: pickle(reduce(name, text('echo this must never be seen'))) }),
});

/** [fault, instructions after PROTO and before STOP, message behind `unpickle: `] */
const instructions: [string, Ops, string][] = [
  ['a text of 4 GB in a small file', [0x58, 255, 255, 255, 255], '"byte 7" expected 4294967295 more bytes, got 1.'],
  ['an empty pickle', [], '"byte 3" expected a value, got an empty stack.'],
  ['a tuple of an empty stack', [0x85], '"byte 3" expected a value, got an empty stack.'],
  ['an empty stack that is kept', [0x71, 0], '"byte 4" expected a value, got an empty stack.'],
  ['a value that was never kept', [0x68, 7], '"byte 4" expected a value that was kept, got number 7, which was not.'],
  [
    'the same with a long index',
    [0x6a, 255, 255, 255, 255],
    '"byte 7" expected a value that was kept, got number 4294967295, which was not.',
  ],
  ['a mark that was never set', [0x74], '"byte 3" expected a mark, got none.'],
  [
    'a value that is called',
    [0x4e, 0x29, 0x52],
    '"byte 5" expected a function that makes tensors, got something else.',
  ],
  [
    'a storage class that is called',
    [global('torch.FloatStorage'), 0x29, 0x52],
    '"byte 24" expected a function that makes tensors, got something else.',
  ],
  [
    'a call without a tuple',
    [global('collections.OrderedDict'), 0x4e, 0x52],
    '"byte 29" expected a tuple, got something else.',
  ],
  [
    'an OrderedDict of arguments',
    reduce('collections.OrderedDict', [0x5d]),
    '"byte 31" expected an empty OrderedDict, got 1 arguments.',
  ],
  [
    'a Parameter of no tensor',
    reduce('torch._utils._rebuild_parameter', [0x4e]),
    '"byte 39" expected a tensor in a Parameter, got something else.',
  ],
  [
    'a tensor of no storage',
    reduce('torch._utils._rebuild_tensor_v2', [0x4e]),
    '"byte 39" expected a storage under a tensor, got something else.',
  ],
  [
    'a tensor without a shape',
    reduce('torch._utils._rebuild_tensor_v2', storage(), long(0)),
    '"byte 107" expected a tuple, got something else.',
  ],
  ['attributes of a list', [0x5d, 0x4e, 0x62], '"byte 5" expected a dictionary, got something else.'],
  ['an item for a dictionary', [0x7d, 0x4e, 0x61], '"byte 5" expected a list, got something else.'],
  ['an entry for a list', [0x5d, 0x4e, 0x4e, 0x73], '"byte 6" expected a dictionary, got something else.'],
  ['a key without a value', [0x7d, 0x28, 0x4e, 0x75], '"byte 6" expected keys with values, got a key without one.'],
  ['a persistent id that is no tuple', [0x4e, 0x51], '"byte 4" expected a tuple of 5 items, got something else.'],
  ['a short persistent id', [0x29, 0x51], '"byte 4" expected a tuple of 5 items, got something else.'],
  [
    'a persistent id of another kind',
    [tuple(text('module'), [0x4e], text('0'), [0x4e], [0x4e]), 0x51],
    '"byte 25" expected a storage, got another persistent id.',
  ],
  [
    'a storage of no class',
    [tuple(text('storage'), [0x4e], text('0'), [0x4e], integer(6)), 0x51],
    '"byte 30" expected a class of storages, got something else.',
  ],
  [
    'a storage of a function',
    storage({ type: 'collections.OrderedDict' }),
    '"byte 66" expected a class of storages, got something else.',
  ],
  [
    'a storage without a length',
    [tuple(text('storage'), global('torch.FloatStorage'), text('0'), [0x4e], [0x4e]), 0x51],
    '"byte 45" expected a number of elements of whole numbers from 0, got something else.',
  ],
  [
    'a storage as a part of another',
    storage({ part: tuple(text('1')) }),
    '"byte 69" expected whole storages, got storage 0 as a part of another.',
  ],
  [
    'one storage with two lengths',
    [storage(), storage({ length: 7 })],
    '"byte 120" expected one kind and length of storage 0, got 7 of F32, and before 6 of F32.',
  ],
  [
    'one storage with two classes',
    [storage(), storage({ type: 'torch.IntStorage' })],
    '"byte 118" expected one kind and length of storage 0, got 6 of I32, and before 6 of F32.',
  ],
  [
    'an instruction of protocol 2 that nobody needs',
    [0x81],
    '"byte 3" expected an instruction of a state dict, got 0x81.',
  ],
  ['an instruction of protocol 4', [0x95, many(8)], '"byte 3" expected an instruction of a state dict, got 0x95.'],
  ['a call by name', ['i', 'os\nsystem\n'], '"byte 3" expected an instruction of a state dict, got 0x69.'],
  ['protocol 4', [0x80, 4], '"byte 4" expected protocol 2, which torch.save uses, got 4.'],
  ['letters that are none', text([0xff]), '"byte 8" expected UTF-8, got other bytes.'],
  ['half a surrogate pair', text([0xed, 0xa0, 0x80]), '"byte 10" expected UTF-8, got other bytes.'],
  ['a name without an end', ['c', 'os'], '"byte 3" expected the end of a line, got none.'],
  ['a name of two thousand letters', ['c', 'o'.repeat(2000), '\n'], '"byte 3" expected the end of a line, got none.'],
];

/** [fault, state dict, message behind `openPytorch: ` or `unpickle: `] */
const views: [string, TensorFields, string][] = [
  ['a negative size', { shape: [-2, 3] }, 'unpickle: "byte 188" expected a shape of whole numbers from 0, got -2.'],
  ['a negative stride', { strides: [3, -1] }, 'unpickle: "byte 188" expected strides of whole numbers from 0, got -1.'],
  ['a negative offset', { offset: -1 }, 'unpickle: "byte 188" expected an offset of whole numbers from 0, got -1.'],
  [
    'a size beyond 2^53',
    { shape: [2 ** 60, 1] },
    `unpickle: "byte 188" expected a shape of whole numbers from 0, got 1152921504606846976.`,
  ],
  ['more sizes than strides', { strides: [1] }, 'unpickle: "byte 178" expected 2 strides, got 1.'],
  ['65 axes', { shape: new Array<number>(65).fill(1) }, 'unpickle: "byte 818" expected at most 64 axes, got 65.'],
  [
    'a tensor that is negated when it is read',
    { metadata: dict([text('neg'), [0x88]]) },
    'unpickle: "byte 200" expected a tensor without metadata, got one with it, which means other numbers than are stored.',
  ],
  [
    'an offset beyond the end',
    { offset: 4 },
    'openPytorch: "a" expected to end inside its storage of 6 elements, got element 9.',
  ],
  [
    'strides beyond the end',
    { strides: [4, 1] },
    'openPytorch: "a" expected to end inside its storage of 6 elements, got element 6.',
  ],
  [
    'strides beyond any end',
    { strides: [2 ** 52, 2 ** 52] },
    `openPytorch: "a" expected to end inside its storage of 6 elements, got element ${3 * 2 ** 52}.`,
  ],
  [
    'an expanded view of terabytes',
    { shape: [1_000_000, 1_000_000], strides: [0, 0] },
    'openPytorch: "a" expected at most the 6 elements of its storage, got 1000000000000: shape (1000000, 1000000), strides (0, 0).',
  ],
  [
    'a storage shorter than the data',
    { length: 5, shape: [5], strides: [1] },
    'openPytorch: "m/data/0" expected 20 bytes, as data.pkl says, got 24.',
  ],
  [
    'a storage longer than the data',
    { length: 7 },
    'openPytorch: "m/data/0" expected 28 bytes, as data.pkl says, got 24.',
  ],
  [
    'a storage of another width',
    { type: 'torch.DoubleStorage' },
    'openPytorch: "m/data/0" expected 48 bytes, as data.pkl says, got 24.',
  ],
  ['a storage that is not there', { key: '1' }, 'openPytorch: "m/data/1" expected to be in the archive, got nothing.'],
  [
    'a storage somewhere else',
    { key: '../../etc/passwd' },
    'openPytorch: "m/data/../../etc/passwd" expected to be in the archive, got nothing.',
  ],
];

const manyViews = dict(
  ...Array.from({ length: 60 }, (_, i): [Ops, Ops] => [
    text(`view ${i}`),
    i === 0 ? [tensor({ length: 6000, shape: [6000], strides: [1] }), 0x71, 1] : [0x68, 1],
  ]),
);

/** [fault, archive, message] */
const archives: [string, ArchiveFields, string][] = [
  [
    'a list',
    { pickle: pickle([0x5d]) },
    'openPytorch: "state dict" expected a dictionary of tensors, got something else.',
  ],
  [
    'a name that is a number',
    { pickle: pickle(dict([integer(7), tensor()])) },
    'openPytorch: "state dict" expected names of tensors, got a number.',
  ],
  [
    'a name that is a tuple',
    { pickle: pickle(dict([[0x29], tensor()])) },
    'openPytorch: "state dict" expected names of tensors, got a value.',
  ],
  [
    'sixty names of one large tensor',
    { pickle: pickle(manyViews), data: many(24_000) },
    'openPytorch: "state dict" expected tensors of at most 16 times the 25252 bytes of the file, got 1440000 bytes.',
  ],
  ['big endian', { byteorder: 'big' }, 'openPytorch: "m/byteorder" expected little, got big.'],
  [
    'a long byte order',
    { byteorder: 'x'.repeat(101) },
    'openPytorch: "m/byteorder" expected at most 100 bytes, got 101.',
  ],
  [
    'two pickles',
    { more: [{ name: 'n/data.pkl', data: [] }] },
    'openPytorch: "data.pkl" expected one of it, in one folder, got 2.',
  ],
  [
    'two entries of one name',
    { more: [{ name: 'm/data/0', data: sixNumbers }] },
    'readZip: "m/data/0" expected one entry, got two.',
  ],
  [
    'a directory of nothing',
    { end: { directorySize: 0 } },
    'readZip: "entry 0" expected to be in the central directory, got other bytes.',
  ],
  [
    'a name that is no text',
    { more: [{ name: [0xff], data: [] }] },
    'readZip: "the name of an entry" expected UTF-8, got other bytes.',
  ],
  [
    'an entry beyond the directory',
    { end: { directorySize: 60 } },
    'readZip: "entry 1" expected to be in the central directory, got other bytes.',
  ],
  [
    'an entry that ends beyond the directory',
    { end: { directorySize: 50 } },
    'readZip: "entry 0" expected to end inside the directory, got beyond it.',
  ],
  [
    'a directory of more entries',
    { end: { count: 3 } },
    'readZip: "entry 2" expected to be in the central directory, got other bytes.',
  ],
  [
    'a directory of a million entries',
    { end: { count: 1_000_000, wide: true } },
    'readZip: "entries" expected at most 200000, got 1000000.',
  ],
  [
    'a directory of a gigabyte',
    { end: { directorySize: 2 ** 30, wide: true } },
    'readZip: "central directory" expected at most 67108864 bytes, got 1073741824.',
  ],
  [
    'a directory beyond the end',
    { end: { directoryOffset: 1_000_000 } },
    'readZip: "central directory" expected to be inside the file, got bytes 1000000..1000110.',
  ],
  [
    'a number beyond 2^53',
    { end: { count: 2 ** 60, wide: true } },
    'readZip: "a size" expected at most 2^53, got 1152921504606846976.',
  ],
  [
    'a zip64 record beyond the end',
    { end: { wide: true, recordOffset: 1_000_000 } },
    'readZip: "zip64 directory" expected to be inside the file, got byte 1000000.',
  ],
  [
    'a zip64 record that is none',
    { end: { wide: true, recordSignature: 1 } },
    'readZip: "zip64 directory" expected its signature, got other bytes.',
  ],
];

/** [fault, the entry of the storage, message] */
const entries: [string, Parameters<typeof zip>[0][number], string][] = [
  [
    'a compressed entry',
    { name: 'm/data/0', data: sixNumbers, method: 8 },
    `readZip: "m/data/0" expected entries that are stored, as torch writes them, got a compressed one (method 8).\n  Hint: load it in Python and save it again.`,
  ],
  [
    'an encrypted entry',
    { name: 'm/data/0', data: sixNumbers, flags: 0x809 },
    `readZip: "m/data/0" expected entries that are stored, as torch writes them, got an encrypted one.\n  Hint: load it in Python and save it again.`,
  ],
  [
    'two sizes of a stored entry',
    { name: 'm/data/0', data: sixNumbers, packed: 20 },
    'readZip: "m/data/0" expected equal sizes, as it is stored, got 20 and 24.',
  ],
  [
    'an entry larger than the file',
    { name: 'm/data/0', data: sixNumbers, size: 2 ** 30, packed: 2 ** 30 },
    'readZip: "m/data/0" expected to be inside the file, got 1073741824 bytes from 254.',
  ],
  [
    'an entry that begins elsewhere',
    { name: 'm/data/0', data: sixNumbers, headerOffset: 3 },
    'readZip: "m/data/0" expected a local header, got other bytes.',
  ],
  [
    'zip64 sizes that are missing',
    { name: 'm/data/0', data: sixNumbers, size: 0xffffffff, packed: 0xffffffff },
    'readZip: "zip64 sizes" expected to be there, got none.',
  ],
  [
    'a wrong checksum',
    { name: 'm/data/0', data: sixNumbers, sum: 7 },
    'openPytorch: "storage 0" expected its checksum, got another: the file is damaged.',
  ],
  [
    'its folder under another name',
    { name: 'n/data/0', data: sixNumbers },
    'openPytorch: "m/data/0" expected to be in the archive, got nothing.',
  ],
];

const pickleEntry = { name: 'm/data.pkl', data: bytesOf(stateDict()) };

/** [fault, stream, message] */
const streams: [string, StreamFields, string][] = [
  ['another protocol', { protocol: integer(1002) }, 'openPytorch: "protocol" expected 1001, got another.'],
  [
    'a big endian machine',
    { machine: dict([text('little_endian'), [0x89]]) },
    'openPytorch: "sys_info" expected little_endian: true, got something else.',
  ],
  ['no machine', { machine: [0x4e] }, 'openPytorch: "sys_info" expected little_endian: true, got something else.'],
  ['no keys', { keys: [0x4e] }, 'openPytorch: "storage keys" expected a list, got something else.'],
  ['keys that are a tuple', { keys: [0x29] }, 'openPytorch: "storage keys" expected a list, got something else.'],
  [
    'a key that is a number',
    { keys: [0x5d, integer(0), 0x61] },
    'openPytorch: "storage keys" expected keys of storages that the pickle has, got another one.',
  ],
  [
    'a key of no storage',
    { keys: [0x5d, text('1'), 0x61] },
    'openPytorch: "storage keys" expected keys of storages that the pickle has, got another one.',
  ],
  [
    'a key twice',
    { keys: [0x5d, text('0'), 0x61, text('0'), 0x61], data: [...storageData(6), ...storageData(6)] },
    'openPytorch: "storage 0" expected to be in the file once, got twice.',
  ],
  ['a storage without its data', { keys: [0x5d] }, 'openPytorch: "storage 0" expected to be in the file, got nothing.'],
  ['fewer elements than declared', { data: storageData(5) }, 'openPytorch: "storage 0" expected 6 elements, got 5.'],
  ['a negative number of elements', { data: storageData(-1) }, 'openPytorch: "storage 0" expected 6 elements, got -1.'],
  [
    'an end inside a storage',
    { data: storageData(6).slice(0, -1) },
    'openPytorch: "storage 0" expected to end at byte 308, got a file of 307.',
  ],
  [
    'an end before the storages',
    { data: [] },
    'openPytorch: "storage 0" expected to end at byte 308, got a file of 276.',
  ],
  [
    'a storage of a terabyte',
    { pickle: stateDict({ length: 2 ** 38 }) },
    `openPytorch: "storage 0" expected to end at byte ${2 ** 40 + 284}, got a file of 308.`,
  ],
];

/** Files that are something else, by how they begin. */
const others: [string, Uint8Array, string][] = [
  ['an empty file', new Uint8Array(0), 'an empty file'],
  ['a text', bytesOf(['<!DOCTYPE html>']), 'something else'],
  [
    'a pointer of Git LFS',
    bytesOf(['version https://git-lfs.github.com/spec/v1\n']),
    'the pointer Git LFS keeps in place of a large file: fetch the file itself',
  ],
  ['a .tar', bytesOf([many(257), 'ustar  ']), 'a .tar, which torch wrote before 0.1.10'],
  ['a plain pickle', bytesOf([0x80, 4, 0x4e, 0x2e]), 'a pickle that torch.save did not write'],
  ['a stream of another magic number', stream({ magic: [0x8a, 1, 7] }), 'a pickle that torch.save did not write'],
];

/** Every file, with its fault. */
export const hostilePytorch: readonly HostilePytorch[] = [
  ...names.map(asking),
  ...instructions.map(([fault, ops, message]) => ({
    fault,
    message: `unpickle: ${message}`,
    bytes: archive({ pickle: pickle(...ops) }),
  })),
  ...views.map(([fault, fields, message]) => ({ fault, message, bytes: archive({ pickle: stateDict(fields) }) })),
  ...archives.map(([fault, fields, message]) => ({ fault, message, bytes: archive(fields) })),
  ...entries.map(([fault, entry, message]) => ({ fault, message, bytes: zip([pickleEntry, entry]) })),
  ...streams.map(([fault, fields, message]) => ({ fault: `stream: ${fault}`, message, bytes: stream(fields) })),
  ...others.map(([fault, bytes, got]) => ({
    fault,
    message: `openPytorch: "format" expected a file that torch.save wrote, got ${got}.\n  Hint: ${again}`,
    bytes,
  })),
  {
    fault: 'no STOP',
    message: 'unpickle: "byte 3" expected 1 more bytes, got 0.',
    bytes: archive({ pickle: [0x80, 2, 0x4e] }),
  },
  {
    fault: 'an archive without a pickle',
    message: 'openPytorch: "data.pkl" expected one of it, in one folder, got 0.',
    bytes: zip([{ name: 'data.pkl', data: [] }]),
  },
  {
    fault: 'a damaged pickle',
    message: 'openPytorch: "m/data.pkl" expected its checksum, got another: the file is damaged.',
    bytes: zip([{ ...pickleEntry, sum: 7 }]),
  },
  {
    fault: 'an archive that is cut off',
    message: 'readZip: "end of central directory" expected to be there, got none: the file is cut off, or no archive.',
    bytes: archive().subarray(0, -1),
  },
  {
    fault: 'two letters of an archive',
    message: 'readZip: "end of central directory" expected to be there, got none: the file is cut off, or no archive.',
    bytes: bytesOf(['PK']),
  },
  {
    fault: 'something after the archive',
    message: 'readZip: "end of central directory" expected to be there, got none: the file is cut off, or no archive.',
    bytes: bytesOf([[...archive()], 0]),
  },
];

/** Good files in every form: what mutations begin with. */
export const goodPytorch: readonly Uint8Array[] = [
  archive(),
  archive({ byteorder: 'little', end: { wide: true, comment: 'a comment' } }),
  zip([pickleEntry, { name: 'm/data/0', data: sixNumbers, wide: true }]),
  stream(),
  stream({ pickle: stateDict({ shape: [3, 2], strides: [1, 3] }) }),
];

/** Good pickles of the storage 0: mutated before an archive is made round them, so that the checksum fits. */
export const goodPickles: readonly Uint8Array[] = [
  bytesOf(stateDict()),
  bytesOf(pickle(dict([text('state_dict'), dict([text('a'), tensor()])], [text('epoch'), integer(3)]))),
  bytesOf(pickle([orderedDict, 0x71, 0, text('a'), tensor(), 0x73, dict([text('_metadata'), orderedDict]), 0x62])),
  bytesOf(
    pickle(
      dict(
        [text('p'), [reduce('torch._utils._rebuild_parameter', tensor(), [0x88], orderedDict), 0x71, 3]],
        [text('q'), [0x68, 3]],
        [text('r'), tensor({ offset: 1, shape: [2], strides: [3] })],
        [text('s'), [0x47, 0x3f, 0xf0, many(6)]],
        [text('t'), [0x4b, 1, 0x4d, 1, 1, 0x87]],
        [text('u'), [0x5d, 0x28, counts([1, 2]), 0x65]],
      ),
    ),
  ),
];
