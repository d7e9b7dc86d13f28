/**
 * What a kernel is to the device: shader text, the numbers of a call and the order of its buffers, in one value.
 *
 * Everything in kernels/ makes programs and dispatches; recorder.ts runs them.
 */
import type { Block } from './buffers.ts';

export type NumberType = 'u32' | 'i32' | 'f32';

/** How a kernel sees a buffer: `read` only, or `write` (which may read too). */
export interface Binding {
  readonly access: 'read' | 'write';
  /** WGSL type of the whole array. */
  readonly type: string;
}

export interface Program {
  /** Kernel and variant; unique. */
  readonly name: string;
  /** The numbers of a call, in the order of their 32-bit slots. */
  readonly numbers: Readonly<Record<string, NumberType>>;
  readonly bindings: Readonly<Record<string, Binding>>;
  /** Complete WGSL, entry point `main`. */
  readonly code: string;
}

/** One call of a program. */
export interface Dispatch {
  readonly program: Program;
  /** One for each binding, in order. */
  readonly blocks: readonly Block[];
  readonly numbers: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
  /** What it has to do at least, for benchmarks and for the size of a submit. */
  readonly cost: { readonly flops: number; readonly bytes: number };
}

const programs = new Map<string, Program>();

/** The program of that name, made when it is asked for the first time: text is not assembled in a forward pass. */
export function program(name: string, make: () => Omit<Program, 'name' | 'code'> & { readonly body: string }): Program {
  const known = programs.get(name);
  if (known) return known;
  const { numbers, bindings, body } = make();
  const fields = Object.entries(numbers).map(([field, type]) => `  ${field}: ${type},`);
  const variables = Object.entries(bindings).map(
    ([variable, { access, type }], index) =>
      `@group(0) @binding(${index + 1}) var<storage, ${access === 'read' ? 'read' : 'read_write'}> ${variable}: ${type};`,
  );
  const header = [
    'struct Numbers {',
    ...fields,
    '}',
    '@group(0) @binding(0) var<uniform> numbers: Numbers;',
    ...variables,
  ];
  const enable = Object.values(bindings).some(({ type }) => type.includes('f16')) ? 'enable f16;\n' : '';
  const made = { name, numbers, bindings, code: `${enable}${header.join('\n')}\n${body}` };
  programs.set(name, made);
  return made;
}

/** Text repeated for 0, 1, … count - 1: WGSL has no templates, and what must stay in registers has to have a name. */
export const unroll = (count: number, text: (index: number) => string, separator = '\n'): string =>
  Array.from({ length: count }, (_, index) => text(index)).join(separator);

/** Workgroups a device takes in one direction. */
export const mostAcross = 65_535;

/** So many workgroups in a row, and more rows when there are too many. */
export const inRows = (workgroups: number): [number, number, number] => [
  Math.min(workgroups, mostAcross),
  Math.ceil(workgroups / mostAcross),
  1,
];

/** Text: the number of an invocation in workgroups of `threads` laid out by `inRows`. Needs `id`, its global_invocation_id. */
export const flatIndex = (threads: number): string => `(id.x + id.y * ${threads * mostAcross}u)`;
