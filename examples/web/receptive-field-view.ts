/** Section 2: what one token knows after each layer. Paper §3.1: ℓ × w tokens, ℓ × d × w with dilation. */
import { dilatedSlidingWindow, globalTokens, type Pattern, union } from '../../reference/2-patterns.ts';
import { colour, slider, tickBox } from '../controls.ts';
import { paintGrid } from './grid-canvas.ts';

const sequenceLength = 97;

export function startReceptiveFieldView(section: Element): void {
  const form = section.querySelector('form')!;
  const layers = slider(form, { label: 'layers', min: 1, max: 8, value: 4 });
  const window_ = slider(form, { label: 'keys on each side', min: 1, max: 8, value: 3 });
  const dilation = slider(form, { label: 'dilation', min: 1, max: 4, value: 1 });
  const mixed = tickBox(form, 'one head without gaps');
  const global = tickBox(form, 'first token is global');
  const canvas = document.createElement('canvas');
  section.querySelector('.panels')!.append(canvas);
  const spoken = section.querySelector(':scope > output')!;
  let chosen = (sequenceLength - 1) / 2;

  const draw = (): void => {
    const steps = mixed() ? [dilation(), 1] : [dilation()];
    const local = dilatedSlidingWindow(window_(), steps);
    const pattern = global() ? union(local, globalTokens([0])) : local;
    const known = fieldOfEachLayer(pattern, steps.length, chosen, layers());
    const [self, seen, unseen, globalRow] = ['--self', '--seen', '--unseen', '--global-row'].map(colour) as [
      string,
      string,
      string,
      string,
    ];
    // Top row: the token itself in the last layer. Bottom row: the words it knows of.
    paintGrid(canvas, {
      label: `Receptive field of token ${chosen} through ${layers()} layers`,
      rows: layers() + 1,
      columns: sequenceLength,
      cell: 10,
      chosenRow: null,
      chosenColour: colour('--chosen'),
      fill: (row, column) => {
        if (!known[row]!.has(column)) return unseen;
        if (column === chosen) return self;
        return global() && column === 0 ? globalRow : seen;
      },
    });
    canvas.tabIndex = 0;
    canvas.onpointerdown = event => {
      const { left, width } = canvas.getBoundingClientRect();
      chosen = Math.max(0, Math.min(sequenceLength - 1, Math.floor(((event.clientX - left) / width) * sequenceLength)));
      draw();
    };
    canvas.onkeydown = event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      chosen = Math.max(0, Math.min(sequenceLength - 1, chosen + step));
      draw();
    };
    const reach = layers() * window_() * dilation();
    spoken.textContent =
      `After ${layers()} layers token ${chosen} knows of ${known.at(-1)!.size} of ${sequenceLength} tokens. ` +
      `The band reaches ${layers()} × ${window_()} × ${dilation()} = ${reach} tokens to each side.`;
  };
  form.addEventListener('input', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
}

/** [0] is the token alone; [ℓ] are the tokens whose words reach it through ℓ layers. */
export function fieldOfEachLayer(pattern: Pattern, heads: number, token: number, layers: number): Set<number>[] {
  const fields = [new Set([token])];
  for (let layer = 1; layer <= layers; layer++) {
    const next = new Set<number>();
    for (const i of fields.at(-1)!) {
      for (let j = 0; j < sequenceLength; j++) {
        for (let head = 0; head < heads; head++) if (pattern(i, j, head)) next.add(j);
      }
    }
    fields.push(next);
  }
  return fields;
}
