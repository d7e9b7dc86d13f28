/**
 * The most a core can do with 128-bit float32 vectors in WebAssembly: a loop of multiply-adds that never leaves the registers.
 *
 * Twelve sums that do not wait for each other hide the latency of the operation; nothing is loaded and nothing stored. What a
 * kernel reaches is told as a share of this.
 */
import type { Build } from '../wasm/index.ts';

const sums = 12;

/** Each step is one multiply-add of four lanes for every sum. `x` near 1 and `y` near 0 keep the sums finite. */
function source(build: Build): string {
  const each = (line: (i: number) => string): string => Array.from({ length: sums }, (_, i) => line(i)).join('\n');
  const step = build === 'relaxed' ? 'f32x4.relaxed_madd(x, y, SUM)' : 'f32x4.add(f32x4.mul(x, y), SUM)';
  return `export function run(steps: i32, from: f32): f32 {
  const x = f32x4.splat(from);
  const y = f32x4.splat(from * 1e-9);
${each(i => `  let sum${i} = f32x4.splat(${i});`)}
  for (let step = 0; step < steps; step++) {
${each(i => `    sum${i} = ${step.replace('SUM', `sum${i}`)};`)}
  }
${each(i => (i === 0 ? '' : `  sum0 = f32x4.add(sum0, sum${i});`))}
  return f32x4.extract_lane(sum0, 0);
}`;
}

/** What is used of assemblyscript/asc. Its own types declare globals that disagree with Node's. */
interface Compiler {
  compileString(source: string, options: object): Promise<{ binary: Uint8Array | null; stderr: object }>;
}
const compilerName: string = 'assemblyscript/asc';

interface Exports {
  run(steps: number, from: number): number;
}
/** TypeScript's libraries for Node do not name it. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Exports } }>;
};

/** Runs for about a tenth of a second each time: () → GFLOP/s, by CPU time. */
export async function createSimdPeak(build: Build): Promise<() => number> {
  const enable = build === 'relaxed' ? ['simd', 'relaxed-simd'] : ['simd'];
  const { compileString } = (await import(compilerName)) as Compiler;
  const { binary, stderr } = await compileString(source(build), { optimizeLevel: 3, runtime: 'stub', enable });
  if (!binary) throw new Error(`the peak loop does not compile: ${String(stderr)}`);
  const { instance } = await WebAssembly.instantiate(binary, {});
  const steps = 5e7;
  return () => {
    const before = process.cpuUsage();
    instance.exports.run(steps, 1);
    const { user, system } = process.cpuUsage(before);
    return (2 * 4 * sums * steps) / (user + system) / 1e3;
  };
}
