/**
 * Hugging Face's exported graph in ONNX Runtime on one thread, timed when asked: a peer of benchmarks/forward.ts, with the same conversation.
 *
 *     node onnx-graph.mjs --runtime web|node --graph FILE.onnx [--optimize all|extended|basic|disabled]    answers requests
 *     node onnx-graph.mjs --runtime web --graph FILE.onnx --runs 3                     measures and prints, without a partner
 *     … --optimize all --without 'ReshapeFusion;ConstantFolding'                       leaves optimisers out by name
 *
 * FILE.onnx and FILE.onnx.json come from peers/huggingface/export_onnx.py, which fixes the length: a request for another is refused.
 * First line out: {"importSeconds", "loadSeconds", "loadCpuSeconds"}. Then for each line in, {"tokens": [T, ...], "batch": 1, "want": "last" | "head"}:
 * {"seconds", "cpuSeconds", "peakBytes", "residentBytes", "probe"}.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    runtime: { type: 'string' },
    graph: { type: 'string' },
    optimize: { type: 'string', default: 'disabled' },
    without: { type: 'string', default: '' },
    runs: { type: 'string' },
  },
});
const { tokens: length, vocabSize, expected } = JSON.parse(readFileSync(`${options.graph}.json`, 'utf8'));
const say = answer => console.log(JSON.stringify(answer));

/** The library, and a session on the graph. */
const runtimes = {
  web: {
    library: async () => {
      const ort = await import('onnxruntime-web/wasm');
      ort.env.wasm.numThreads = 1;
      return ort;
    },
    // A browser has no files: the graph is bytes.
    session: (ort, settings) =>
      ort.InferenceSession.create(readFileSync(options.graph), { ...settings, executionProviders: ['wasm'] }),
  },
  node: {
    library: async () => (await import('onnxruntime-node')).default,
    session: (ort, settings) =>
      ort.InferenceSession.create(options.graph, { ...settings, intraOpNumThreads: 1, interOpNumThreads: 1 }),
  },
};

const runtime = runtimes[options.runtime];
const ort = await runtime.library();
const imported = performance.now(); // counted from the start of the process
const cpuImported = process.cpuUsage();
let session;
try {
  session = await runtime.session(ort, {
    graphOptimizationLevel: options.optimize,
    logSeverityLevel: 3,
    extra: { optimization: { disable_specified_optimizers: options.without } },
  });
} catch (error) {
  await fail('load', error);
}
const { user, system } = process.cpuUsage(cpuImported);
const ready = {
  importSeconds: imported / 1000,
  loadSeconds: (performance.now() - imported) / 1000,
  loadCpuSeconds: (user + system) / 1e6,
};

/** <s>, something, </s>; the first token is global. The same ids as in benchmarks/forward.ts. */
function feedsOf(document) {
  const row = value =>
    new ort.Tensor(
      'int64',
      BigInt64Array.from({ length }, (_, t) => BigInt(value(t))),
      [1, length],
    );
  return {
    input_ids: row(t => (t === 0 ? 0 : t === length - 1 ? 2 : 4 + ((7919 * t + 31 * document) % (vocabSize - 5)))),
    attention_mask: row(() => 1),
    global_attention_mask: row(t => (t === 0 ? 1 : 0)),
  };
}

async function forward({ tokens, batch, want }) {
  if (batch !== 1 || tokens.some(count => count !== length) || want === 'all') {
    throw new Error(`this graph takes one document of ${length} tokens at a time and gives "last" or "head"`);
  }
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  let outputs;
  for (const document of tokens.keys()) outputs = await session.run(feedsOf(document));
  const seconds = (performance.now() - before) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    residentBytes: process.memoryUsage.rss(),
    probe: probeOf(outputs, want),
  };
}

function probeOf(outputs, want) {
  if (want === 'head') return [...outputs.logits.data];
  const { data } = outputs.last_hidden_state;
  return Array.from({ length: 32 }, (_, i) => data[Math.floor((i * (data.length - 1)) / 31)]);
}

/** Worst difference from Hugging Face's answer, relative to its largest value. Math.max keeps NaN. */
function differenceFrom(truth, probe) {
  const largest = Math.max(...truth.map(Math.abs));
  return truth.reduce((worst, value, i) => Math.max(worst, Math.abs(value - probe[i])), 0) / largest;
}

/** ONNX Runtime throws numbers too: addresses of C++ exceptions. */
async function fail(stage, error) {
  say({
    failed: stage,
    error: error instanceof Error ? `${error.name}: ${error.message.split('\n')[0]}` : String(error),
    seconds: performance.now() / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  });
  process.exit(1);
}

say(ready);
if (options.runs) {
  try {
    const request = { tokens: [length], batch: 1, want: 'last' };
    const first = await forward(request);
    const counted = [];
    for (let run = 0; run < Number(options.runs); run++) counted.push(await forward(request));
    const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
    say({
      tokens: length,
      firstSeconds: first.seconds,
      medianSeconds: median(counted.map(run => run.seconds)),
      medianCpuSeconds: median(counted.map(run => run.cpuSeconds)),
      rounds: counted.length,
      peakBytes: counted.at(-1).peakBytes,
      difference: differenceFrom(expected.last, counted.at(-1).probe),
    });
  } catch (error) {
    await fail('run', error);
  }
} else {
  for await (const line of createInterface({ input: process.stdin })) say(await forward(JSON.parse(line)));
}
process.exit(); // the runtimes keep timers or workers
