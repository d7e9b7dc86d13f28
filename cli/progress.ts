/** A progress bar on stderr; nothing at all when stderr is not a terminal. */
import cliProgress from 'cli-progress';

export interface Progress {
  /** done: 0..1. */
  update(done: number, label: string): void;
  stop(): void;
}

export function createProgress(unit: string): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new cliProgress.SingleBar({
    format: `{bar} {percentage}% of ${unit}, {duration_formatted} passed, {label}`,
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  bar.start(100, 0, { label: '' });
  return { update: (done, label) => bar.update(Math.round(100 * done), { label }), stop: () => bar.stop() };
}
