/** Asks what the browser has, runs what is ticked, shows verdicts as they come. Read next: backends.ts, run.ts. */
import { buildReport } from '../../conformance/report.ts';
import { LongformerError } from '../../contract/errors.ts';
import { type Candidate, candidates } from './backends.ts';
import { showRun } from './results-view.ts';
import { type BackendRun, readCaseNames, runBackend } from './run.ts';

const byId = (id: string): HTMLElement => document.getElementById(id)!;
const form = byId('form') as HTMLFormElement;
const [start, stop, copy, download] = [
  form.querySelector<HTMLButtonElement>('[type=submit]')!,
  ...['stop', 'copy', 'download'].map(id => byId(id) as HTMLButtonElement),
] as [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
const progress = document.querySelector('progress')!;
const spoken = document.querySelector<HTMLOutputElement>('main output')!;

/** Candidate → why the browser lacks it, or null. */
const lacking = new Map<string, string | null>();
const runs: BackendRun[] = [];
let controller = new AbortController();

/** One line for each backend, in their order: a tick box, or why it is not there. */
async function listBackends(): Promise<void> {
  const lines = candidates.map(({ name, what }) => {
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', name, disabled: true });
    const note = Object.assign(document.createElement('small'), { textContent: `${what} …` });
    const label = document.createElement('label');
    label.append(box, Object.assign(document.createElement('b'), { textContent: name }), note);
    byId('backends').append(label);
    return { box, note };
  });
  for (const [index, { name, what, open }] of candidates.entries()) {
    const { box, note } = lines[index]!;
    const missing = await open().then(
      opened => {
        note.textContent = `${what}; on ${opened.on}`;
        opened.close();
        return null;
      },
      (error: unknown) => {
        note.textContent = `${what}; not here: ${error instanceof LongformerError ? error.message : String(error)}`;
        return String(error);
      },
    );
    lacking.set(name, missing);
    box.disabled = missing !== null;
    box.checked = missing === null;
  }
}

async function listLevels(): Promise<void> {
  const levels = new Set((await readCaseNames()).names.map(levelOf));
  const select = form.elements.namedItem('level') as HTMLSelectElement;
  for (const level of levels) select.append(new Option(level));
}

const levelOf = (id: string): string => id.split('/', 1)[0]!;

form.addEventListener('submit', async event => {
  event.preventDefault();
  const chosen = candidates.filter(({ name }) => (form.elements.namedItem(name) as HTMLInputElement).checked);
  if (chosen.length === 0) return say('Tick a backend first.');
  controller = new AbortController();
  setRunning(true);
  try {
    await runAll(chosen, String(new FormData(form).get('level')), Number(new FormData(form).get('every')));
  } catch (error) {
    say(String(error), true);
  }
  setRunning(false);
});

stop.addEventListener('click', () => controller.abort());

async function runAll(chosen: readonly Candidate[], level: string, every: number): Promise<void> {
  const { signal } = controller;
  runs.length = 0;
  byId('results').replaceChildren();
  const { manifest, names: all } = await readCaseNames();
  const ofLevel = all.filter(id => level === '' || levelOf(id) === level);
  const names = everyNth(ofLevel, every);
  say(`${names.length} cases on ${chosen.length} backends.`);
  const onStep = (run: BackendRun, next: string | null): void => {
    const done = runs.length + (next === null ? 0 : run.results.length / names.length);
    progress.value = done / chosen.length;
    byId('now').textContent = next === null ? '' : `${run.name}: ${next}`;
    showRun(byId('results'), run);
  };
  for (const candidate of chosen) {
    if (signal.aborted) break;
    const run = await runBackend(candidate, { names, manifest, signal, onStep });
    runs.push(run);
    progress.value = runs.length / chosen.length;
  }
  say(verdict(signal.aborted));
}

/** Every nth case of each level, the first one always. */
function everyNth(ids: readonly string[], n: number): string[] {
  const seen = new Map<string, number>();
  return ids.filter(id => {
    const before = seen.get(levelOf(id)) ?? 0;
    seen.set(levelOf(id), before + 1);
    return before % n === 0;
  });
}

function verdict(stopped: boolean): string {
  const { run, failed } = buildReport(
    runs.flatMap(({ results }) => results),
    0,
  );
  const broken = runs.filter(({ state }) => state === 'failed').map(({ name }) => name);
  const parts = [`${stopped ? 'Stopped' : 'Done'}: ${run - failed} of ${run} verdicts pass`];
  if (failed > 0) parts.push(`${failed} fail`);
  if (broken.length > 0) parts.push(`${broken.join(', ')} broke`);
  return `${parts.join('; ')}.`;
}

function setRunning(running: boolean): void {
  start.disabled = running;
  stop.disabled = !running;
  byId('backends').toggleAttribute('disabled', running);
  copy.disabled = download.disabled = running || runs.length === 0;
  byId('now').textContent = '';
  if (running) stop.focus();
  else start.focus();
}

function say(text: string, isError = false): void {
  spoken.textContent = text;
  spoken.classList.toggle('error', isError);
}

/** Everything there is to know about the run, for a bug report. */
function resultsAsJson(): string {
  const backends = runs.map(({ name, on, state, error, answered, seconds, results }) => {
    return { name, on, state, error, answered, seconds, report: buildReport(results, 0) };
  });
  const notHere = [...lacking].filter(([, reason]) => reason !== null).map(([name, reason]) => ({ name, reason }));
  return JSON.stringify({ userAgent: navigator.userAgent, backends, notHere }, null, 2);
}

copy.addEventListener('click', () => {
  navigator.clipboard.writeText(resultsAsJson()).then(
    () => say('Copied.'),
    (error: unknown) => say(`Not copied: ${String(error)}`, true),
  );
});

download.addEventListener('click', () => {
  const href = URL.createObjectURL(new Blob([resultsAsJson()], { type: 'application/json' }));
  Object.assign(document.createElement('a'), { href, download: 'longformer-backends.json' }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
});

void Promise.all([listLevels(), listBackends()]).then(
  () => {
    start.disabled = false;
  },
  (error: unknown) => say(String(error), true),
);
