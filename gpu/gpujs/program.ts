/**
 * What a kernel is to gpu.js: the text of a JavaScript function, translated into a shader once.
 *
 * Text and not functions, because gpu.js reads the source of what it is given: a minifier or an instrument for coverage would
 * change it. One invocation computes one number: column `this.thread.x` of row `row`, which every body finds declared.
 *
 * Subtle: gpu.js declares the index of a loop before it, so loops of one scope need different names; and `index++` is no WGSL.
 */

/** Rows: a store, read as name[row][column]. Integer: a whole number, exact. Float: float32. */
export type ArgumentType = 'Rows' | 'Integer' | 'Float';

/** A function that bodies may call; numbers in, a number out. */
export interface Helper {
  readonly name: string;
  readonly argumentNames: readonly string[];
  readonly body: string;
}

export interface Program {
  /** Names the compiled kernel in the cache and in messages. */
  readonly name: string;
  /** In the order in which a call gives them. */
  readonly arguments: Readonly<Record<string, ArgumentType>>;
  readonly body: string;
  readonly helpers: readonly Helper[];
}

export function program(
  name: string,
  argumentTypes: Readonly<Record<string, ArgumentType>>,
  body: string,
  helpers: readonly Helper[] = [],
): Program {
  return { name, arguments: argumentTypes, body, helpers };
}

/** The function gpu.js is given. A tall output has its rows along z, because no side of a texture may be that long. */
export const sourceOf = ({
  arguments: argumentTypes,
  body,
}: Program): string => `function kernel(${Object.keys(argumentTypes).join(', ')}) {
  const row = this.thread.y + this.output.y * this.thread.z;
  ${body}
}`;

export const helperSource = ({ name, argumentNames, body }: Helper): string =>
  `function ${name}(${argumentNames.join(', ')}) { ${body} }`;

/** In blocks of 32, so that errors grow with the number of blocks and not with the number of terms. */
const inBlocks = (total: string, count: string, block: string): string => `
  let ${total} = 0;
  for (let block = 0; block < ${count}; block += 32) {
    let part = 0;
    let blockEnd = block + 32;
    if (blockEnd > ${count}) { blockEnd = ${count}; }
    ${block}
    ${total} += part;
  }`;

/** Text that runs `statement`, which adds to `part`, for each whole number `index` below `count`; the sum is the new variable `total`. */
export const sumInBlocks = (total: string, index: string, count: string, statement: string): string =>
  inBlocks(total, count, `for (let ${index} = block; ${index} < blockEnd; ${index} += 1) { ${statement} }`);

/** The sum of term(0) … term(count - 1) in the new variable `total`; four at a time, which halves the time of software adapters. */
export const sumOfTerms = (total: string, count: string, term: (index: string) => string): string =>
  inBlocks(
    total,
    count,
    `let next = block;
    for (let k = block; k < blockEnd - 3; k += 4) {
      part += ${term('k')} + ${term('k + 1')} + ${term('k + 2')} + ${term('k + 3')};
      next = k + 4;
    }
    for (let rest = next; rest < blockEnd; rest += 1) { part += ${term('rest')}; }`,
  );
