/** A backend's run → a table of its levels, as the command line prints it. Nothing here computes a verdict. */
import { buildReport, type Summary } from '../../conformance/report.ts';
import type { BackendRun } from './run.ts';

/** Draws the run into an element of its own, which is made at the first call and filled again at every other. */
export function showRun(to: Element, run: BackendRun): void {
  const id = `run-${run.name}`;
  const element = document.getElementById(id) ?? Object.assign(document.createElement('article'), { id });
  if (!element.isConnected) to.append(element);
  const { summaries, run: cases, failed, results } = buildReport(run.results, 0);
  const title = document.createElement('h3');
  title.textContent = `${run.name}: ${headline(run, cases, failed)}`;
  title.className = failed > 0 || run.state === 'failed' ? 'bad' : '';
  const parts: Element[] = [title, paragraph(`On ${run.on || 'nothing yet'}. ${checkpointSentence(run)}`)];
  if (run.error !== undefined) parts.push(Object.assign(paragraph(run.error), { className: 'error' }));
  if (summaries.length > 0) parts.push(tableOf(summaries, run.seconds));
  const wrong = results.filter(({ verdict }) => verdict === 'fail');
  if (wrong.length > 0) parts.push(wrongList(wrong));
  const skips = new Set(results.filter(({ verdict }) => verdict === 'skipped').map(({ reason }) => reason));
  for (const reason of skips) parts.push(paragraph(`Skipped: ${reason}.`));
  element.replaceChildren(...parts);
}

function headline({ state, seconds }: BackendRun, cases: number, failed: number): string {
  const time = `${sum(Object.values(seconds)).toFixed(1)} s`;
  const verdict = `${cases - failed} of ${cases} cases pass, ${time}`;
  return { running: `running, ${verdict}`, finished: verdict, stopped: `stopped, ${verdict}`, failed: 'broke' }[state];
}

function checkpointSentence({ answered }: BackendRun): string {
  if (!answered) return '';
  const { answer, loadMs, forwardMs, error } = answered;
  return (
    `The checkpoint answers “${answer}”; its logits are ${error === 0 ? 'those' : `${error.toExponential(1)} from those`} of ` +
    `float64. Loaded in ${loadMs.toFixed(0)} ms, first pass in ${forwardMs.toFixed(0)} ms.`
  );
}

const columns = ['level', 'passed', 'failed', 'worst error', 'HF’s float32', 'growth', 'seconds'];

function tableOf(summaries: readonly Summary[], seconds: BackendRun['seconds']): Element {
  const table = document.createElement('table');
  const head = table.createTHead().insertRow();
  for (const name of columns) {
    head.append(Object.assign(document.createElement('th'), { scope: 'col', textContent: name }));
  }
  const body = table.createTBody();
  for (const summary of summaries) {
    const row = body.insertRow();
    row.className = summary.failed > 0 ? 'bad' : '';
    row.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: summary.level }));
    for (const text of figures(summary, seconds[summary.level] ?? 0)) row.insertCell().textContent = text;
  }
  // Wider than a phone: it scrolls by itself, by keys too.
  const scroller = Object.assign(document.createElement('div'), { className: 'scroller', tabIndex: 0 });
  scroller.setAttribute('role', 'group');
  scroller.setAttribute('aria-label', 'Verdicts by level');
  scroller.append(table);
  return scroller;
}

function figures({ cases, skipped, passed, failed, worst, baseline, growth }: Summary, seconds: number): string[] {
  const exact = baseline === null;
  return [
    skipped === cases ? 'skipped' : `${passed} of ${cases - skipped}`,
    String(failed),
    exact ? `${worst} wrong` : worst.toExponential(1),
    exact ? 'exact' : baseline.toExponential(1),
    growth?.toPrecision(2) ?? '',
    seconds.toFixed(2),
  ];
}

function wrongList(wrong: BackendRun['results']): Element {
  const list = document.createElement('ul');
  for (const { level, name, reason, checks } of wrong) {
    const item = document.createElement('li');
    const outputs = checks
      .filter(({ ok }) => !ok)
      .map(
        ({ output, error, allowed }) => `${output} errs ${error.toExponential(1)}, allowed ${allowed.toExponential(1)}`,
      );
    item.textContent = `${level}/${name}: ${[reason, ...outputs].filter(Boolean).join('; ')}`;
    list.append(item);
  }
  return list;
}

const paragraph = (textContent: string): HTMLParagraphElement =>
  Object.assign(document.createElement('p'), { textContent });

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
