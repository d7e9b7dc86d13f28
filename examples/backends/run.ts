/** Backends through the checkpoint and the cases, one after another, so that the page can be used meanwhile and stopped. */
import { type Manifest, type ReadFile, readCaseFrom, readManifestFrom } from '../../conformance/case.ts';
import type { CaseResult } from '../../conformance/result.ts';
import { runCase } from '../../conformance/run.ts';
import { CaseError } from '../../contract/errors.ts';
import type { Backend } from '../../contract/model.ts';
import { createReferenceBackend } from '../../reference/backend.ts';
import { type Answer, answerQuestions } from '../../runtime/tasks/question-answering.ts';
import { fetchCheckpoint } from '../checkpoint.ts';
import type { Candidate, OpenBackend } from './backends.ts';

/** From beside the page; case.ts checks the sum of every file. @throws CaseError */
export const readFile: ReadFile = async path => {
  const response = await fetch(new URL(`conformance/${path}`, document.baseURI));
  if (!response.ok) {
    throw new CaseError({ where: 'readCase', name: path, expected: 'to be there', got: `status ${response.status}` });
  }
  return new Uint8Array(await response.arrayBuffer());
};

/** Without the tokenizer's, which is no part of a backend. */
export async function readCaseNames(): Promise<{ manifest: Manifest; names: string[] }> {
  const manifest = await readManifestFrom(readFile);
  return { manifest, names: manifest.cases.filter(id => !id.startsWith('tokenizer/')) };
}

/** What the trained checkpoint in the box answered. */
export interface Answered {
  readonly answer: string;
  readonly loadMs: number;
  readonly forwardMs: number;
  /** max |logit - reference's| / max |reference's|. */
  readonly error: number;
}

/** One backend's part of the results, filled while it runs. */
export interface BackendRun {
  readonly name: string;
  /** Who computed. */
  on: string;
  answered: Answered | null;
  readonly results: CaseResult[];
  /** Seconds of the cases, by level. */
  readonly seconds: Record<string, number>;
  state: 'running' | 'finished' | 'stopped' | 'failed';
  /** Why it failed. */
  error?: string;
}

export interface RunOptions {
  readonly names: readonly string[];
  readonly manifest: Manifest;
  readonly signal: AbortSignal;
  /** After the checkpoint and after each case; `next`: what comes now. */
  readonly onStep: (run: BackendRun, next: string | null) => void;
}

/** A backend that breaks in mid-run is a result too; the next one runs. */
export async function runBackend(candidate: Candidate, options: RunOptions): Promise<BackendRun> {
  const { names, signal, onStep } = options;
  const run: BackendRun = { name: candidate.name, on: '', answered: null, results: [], seconds: {}, state: 'running' };
  let opened: OpenBackend | null = null;
  try {
    opened = await candidate.open();
    run.on = opened.on;
    onStep(run, 'the checkpoint');
    await breathe();
    run.answered = await askCheckpoint(opened, signal);
    await runCases(opened, run, options);
    run.state = run.results.length === names.length ? 'finished' : 'stopped';
  } catch (error) {
    run.state = signal.aborted ? 'stopped' : 'failed';
    if (!signal.aborted) run.error = String(error);
  } finally {
    opened?.close();
  }
  onStep(run, null);
  return run;
}

async function runCases(
  { subject }: OpenBackend,
  run: BackendRun,
  { names, manifest, signal, onStep }: RunOptions,
): Promise<void> {
  for (const name of names) {
    onStep(run, name);
    await breathe();
    if (signal.aborted) return;
    const testCase = await readCaseFrom(readFile, name, manifest);
    const begin = performance.now();
    run.results.push(await runCase(subject, testCase));
    run.seconds[testCase.level] = (run.seconds[testCase.level] ?? 0) + (performance.now() - begin) / 1000;
  }
}

const question = 'What is the access code of Delia?';
const context =
  'The access code of Oskar is 48K. A visitor left two glass plates on table 4. The access code of Delia is 31C.';

/** The question to the checkpoint in the box, on one backend. */
async function ask(backend: Backend, signal: AbortSignal) {
  const { open, tokenizer } = await fetchCheckpoint();
  const checkpoint = await open();
  const begin = performance.now();
  const model = await backend.loadLongformer(checkpoint);
  await checkpoint.close();
  const loaded = performance.now();
  const { inputIds } = tokenizer.encode(question, { textPair: context });
  const [output] = await model.forward([{ inputIds }], { signal });
  const forwardMs = performance.now() - loaded;
  const [[best]] = (await answerQuestions({ model, tokenizer }, [{ question, context }], { signal })) as [[Answer]];
  model.dispose();
  const logits = Float64Array.of(...output!.startLogits!.data, ...output!.endLogits!.data); // (2 T)
  return { answer: best.answer, logits, loadMs: loaded - begin, forwardMs };
}

/** The reference's logits, computed once: what the others are measured against. */
let truth: Promise<Float64Array> | undefined;

async function askCheckpoint(opened: OpenBackend, signal: AbortSignal): Promise<Answered> {
  truth ??= ask(createReferenceBackend(), new AbortController().signal).then(({ logits }) => logits);
  const exact = await truth;
  const backend = await opened.createBackend();
  try {
    const { answer, logits, loadMs, forwardMs } = await ask(backend, signal);
    const largest = (values: Float64Array): number => Math.max(...values.map(Math.abs));
    return { answer, loadMs, forwardMs, error: largest(logits.map((x, i) => x - exact[i]!)) / largest(exact) };
  } finally {
    backend.dispose();
  }
}

let breathed = 0;

/** Lets the page draw and hear clicks, if it has not for a while. */
async function breathe(): Promise<void> {
  if (performance.now() - breathed < 30) return;
  await new Promise(resolve => setTimeout(resolve));
  breathed = performance.now();
}
