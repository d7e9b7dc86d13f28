/** One head's share of a row, read and written as vectors of 4: the last one is filled up with 0 when headDim is no multiple of 4. */
import type { Binding } from '../program.ts';
import { unroll } from '../program.ts';

export interface HeadShape {
  readonly hiddenSize: number;
  readonly headDim: number;
}

const isWide = ({ hiddenSize, headDim }: HeadShape): boolean => hiddenSize % 4 === 0 && headDim % 4 === 0;

/** Vectors of a head. */
export const quadsOf = ({ headDim }: HeadShape): number => Math.ceil(headDim / 4);

export const shapeName = (shape: HeadShape): string => `${shape.headDim}${isWide(shape) ? '' : ' odd'}`;

/** Of rows that hold all heads. */
export const rowBinding = (shape: HeadShape, access: Binding['access']): Binding => ({
  access,
  type: isWide(shape) ? 'array<vec4f>' : 'array<f32>',
});

/** `load_NAME(row, head, quad) -> vec4f` from the binding NAME. Needs numbers.hidden_size. */
export function loader(name: string, shape: HeadShape): string {
  const { headDim } = shape;
  const body = isWide(shape)
    ? `return ${name}[(row * numbers.hidden_size + head * ${headDim}) / 4 + quad];`
    : `let first = row * numbers.hidden_size + head * ${headDim} + 4 * quad;
  var result = vec4f(0.0);
  ${unroll(4, i => `if (4 * quad + ${i} < ${headDim}) { result[${i}] = ${name}[first + ${i}]; }`, '\n  ')}
  return result;`;
  return `fn load_${name}(row: u32, head: u32, quad: u32) -> vec4f {\n  ${body}\n}`;
}

/** `store_NAME(row, head, quad, value)`. */
export function storer(name: string, shape: HeadShape): string {
  const { headDim } = shape;
  const body = isWide(shape)
    ? `${name}[(row * numbers.hidden_size + head * ${headDim}) / 4 + quad] = value;`
    : `let first = row * numbers.hidden_size + head * ${headDim} + 4 * quad;
  ${unroll(4, i => `if (4 * quad + ${i} < ${headDim}) { ${name}[first + ${i}] = value[${i}]; }`, '\n  ')}`;
  return `fn store_${name}(row: u32, head: u32, quad: u32, value: vec4f) {\n  ${body}\n}`;
}
