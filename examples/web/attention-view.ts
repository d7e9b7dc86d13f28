/** Section 3: the probabilities of one head of a trained checkpoint on the reader's text, as band and global columns. */
import type { LayerAttentions } from '../../contract/model.ts';
import type { Encoding } from '../../runtime/index.ts';
import { choice, colour, labelled, tickBox } from '../controls.ts';
import { paintGrid } from './grid-canvas.ts';
import { type LoadedCheckpoint, loadCheckpoint } from './load-checkpoint.ts';

/** More would make a picture too tall to look at; the model takes 4,096. */
const mostTokens = 600;

/** What is kept of a forward pass. */
interface Reading {
  readonly question: string;
  readonly text: string;
  readonly encoding: Encoding;
  readonly globalIndices: readonly number[];
  readonly layers: readonly LayerAttentions[];
  readonly answer: string;
}

export function startAttentionView(section: Element, sample: { question: string; text: string }): void {
  const form = section.querySelector('form')!;
  const question = Object.assign(document.createElement('input'), { type: 'text', value: sample.question });
  const text = Object.assign(document.createElement('textarea'), { rows: 6, value: sample.text });
  form.append(labelled(document.createTextNode('Question'), question), labelled(document.createTextNode('Text'), text));
  const useGlobal = tickBox(form, 'the question has global attention', true);
  const layer = choice(form, 'Layer');
  const head = choice(form, 'Head');
  const button = Object.assign(document.createElement('button'), { type: 'submit', textContent: 'Read' });
  form.append(button);
  const canvas = document.createElement('canvas');
  canvas.hidden = true;
  section.querySelector('.panels')!.append(canvas);
  const reading = section.querySelector('.reading')!;
  const spoken = section.querySelector(':scope > output')!;
  let current: Reading | undefined;
  let oneSidedWindow: readonly number[] = [];
  let chosen = 0;

  const draw = (): void => {
    if (!current) return;
    const { encoding, globalIndices, layers, answer } = current;
    const { local, global } = layers[layer.read()]!;
    const tokens = encoding.inputIds.length;
    const columns = local.shape[2]!;
    const offset = head.read() * tokens * columns;
    const isGlobal = new Set(globalIndices);
    const window_ = oneSidedWindow[layer.read()]!;
    const [unseen, ink] = [colour('--unseen'), colour('--accent')];
    const most = strongest(local.data, offset, tokens * columns);
    canvas.hidden = false;
    paintGrid(canvas, {
      label: `Attention of head ${head.read()} in layer ${layer.read()}; row ${chosen} is chosen`,
      rows: tokens,
      columns,
      cell: Math.max(3, Math.min(12, Math.floor(420 / columns))),
      chosenRow: chosen,
      chosenColour: colour('--chosen'),
      fill: (row, column) => {
        // A global token's row is in the global attentions, not here.
        if (isGlobal.has(row)) return undefined;
        const p = local.data[offset + row * columns + column]!;
        return p === 0 ? unseen : mix(ink, Math.sqrt(p / most));
      },
      onChoose: row => {
        chosen = row;
        draw();
      },
    });
    const probabilities = new Float64Array(tokens);
    const slot = globalIndices.indexOf(chosen);
    if (slot >= 0) {
      const { data, shape } = global!;
      const from = (head.read() * shape[1]! + slot) * tokens;
      for (let j = 0; j < tokens; j++) probabilities[j] = data[from + j]!;
    } else {
      const row = local.data.subarray(offset + chosen * columns, offset + (chosen + 1) * columns);
      for (const [g, j] of globalIndices.entries()) probabilities[j]! += row[g]!;
      for (let column = globalIndices.length; column < columns; column++) {
        const j = chosen - window_ + column - globalIndices.length;
        if (j >= 0 && j < tokens) probabilities[j]! += row[column]!;
      }
    }
    showReading(reading, current, probabilities, chosen, ink);
    const top = [...probabilities.entries()].sort((a, b) => b[1] - a[1]).slice(0, 5);
    const shown = ([j, p]: [number, number]): string =>
      `“${tokenText(current!, j)}”${encoding.sequenceIds[j] === 0 ? ' in the question' : ''} ${(100 * p).toFixed(0)} %`;
    spoken.textContent =
      `Answer: ${answer}. Token ${chosen} “${tokenText(current, chosen)}”${slot >= 0 ? ' (global)' : ''} attends most to ` +
      `${top.map(shown).join(', ')}.`;
  };

  form.addEventListener('submit', async event => {
    event.preventDefault();
    button.disabled = true;
    spoken.textContent = 'Reading …';
    try {
      const loaded = await loadCheckpoint();
      oneSidedWindow = loaded.model.config.oneSidedWindow;
      current = await read(loaded, question.value, text.value, useGlobal());
      layer.offer(loaded.model.config.layers);
      head.offer(loaded.model.config.heads);
      const look = strongestLookAtQuestion(current);
      chosen = look.row;
      layer.choose(look.layer);
      head.choose(look.head);
      draw();
    } catch (error) {
      spoken.innerHTML = '<span class="error"></span>';
      spoken.firstElementChild!.textContent = (error as Error).message;
    }
    button.disabled = false;
  });
  form.addEventListener('change', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

async function read(
  { model, tokenizer }: LoadedCheckpoint,
  question: string,
  text: string,
  useGlobal: boolean,
): Promise<Reading> {
  const encoding = tokenizer.encode(question, { textPair: text, maxLength: mostTokens, truncation: 'only_second' });
  const { inputIds, sequenceIds, offsets } = encoding;
  const inputs = { inputIds };
  const automatic = model.defaultGlobalAttentionMask(inputs) ?? new Int32Array(inputIds.length);
  const globalAttentionMask = useGlobal ? automatic : new Int32Array(inputIds.length);
  const layers: LayerAttentions[] = [];
  const [output] = await model.forward([{ inputIds, globalAttentionMask }], {
    want: { attentions: (_document, _layer, probabilities) => void layers.push(probabilities) },
  });
  const { data: starts } = output!.startLogits!;
  const { data: ends } = output!.endLogits!;
  let best = { score: -Infinity, start: 0, end: 0 };
  for (let start = 0; start < inputIds.length; start++) {
    if (sequenceIds[start] !== 1) continue;
    for (let end = start; end < Math.min(start + 15, inputIds.length) && sequenceIds[end] === 1; end++) {
      const score = starts[start]! + ends[end]!;
      if (score > best.score) best = { score, start, end };
    }
  }
  const answer = text.slice(offsets[2 * best.start], offsets[2 * best.end + 1]).trim();
  const globalIndices = [...globalAttentionMask.keys()].filter(t => globalAttentionMask[t] === 1);
  return { question, text, encoding, globalIndices, layers, answer };
}

/**
 * Where the text looks hardest at the question: the word of the question that is rarest in the text, where it stands there, in the layer and
 * head in which it pays most attention to itself in the question.
 */
function strongestLookAtQuestion(reading: Reading) {
  const { encoding, globalIndices, layers } = reading;
  const rows = [...encoding.inputIds.keys()];
  const places = (id: number): number[] =>
    rows.filter(t => encoding.sequenceIds[t] === 1 && encoding.inputIds[t] === id);
  const shared = rows.filter(t => encoding.sequenceIds[t] === 0 && places(encoding.inputIds[t]!).length > 0);
  const rarity = (t: number): number => places(encoding.inputIds[t]!).length;
  const asked = shared.sort((a, b) => rarity(a) - rarity(b))[0];
  let best = { p: -1, layer: 0, head: 0, row: 0 };
  if (asked === undefined) return best;
  const column = globalIndices.indexOf(asked);
  for (const row of places(encoding.inputIds[asked]!)) {
    for (const [layer, { local }] of layers.entries()) {
      const [heads, tokens, columns] = local.shape as [number, number, number];
      for (let head = 0; head < heads; head++) {
        const p = column < 0 ? 0 : local.data[(head * tokens + row) * columns + column]!;
        if (p > best.p) best = { p, layer, head, row };
      }
    }
  }
  return best;
}

/** The characters of a token, or the name of its role. */
function tokenText({ question, text, encoding }: Reading, t: number): string {
  const sequence = encoding.sequenceIds[t]!;
  if (sequence < 0) return t === 0 ? '<s>' : '</s>';
  return (sequence === 0 ? question : text).slice(encoding.offsets[2 * t], encoding.offsets[2 * t + 1]);
}

function showReading(to: Element, reading: Reading, probabilities: Float64Array, chosen: number, ink: string): void {
  const most = Math.max(...probabilities);
  const spans: Node[] = [];
  for (let t = 0; t < probabilities.length; t++) {
    const span = document.createElement('span');
    span.textContent = tokenText(reading, t);
    if (probabilities[t]! > 0.002) span.style.background = mix(ink, 0.75 * Math.sqrt(probabilities[t]! / most));
    if (t === chosen) span.className = 'query';
    span.title = `${(100 * probabilities[t]!).toFixed(1)} %`;
    spans.push(span, document.createTextNode(' '));
  }
  to.replaceChildren(...spans);
}

function strongest(data: ArrayLike<number>, from: number, count: number): number {
  let most = 1e-9;
  for (let i = from; i < from + count; i++) most = Math.max(most, data[i]!);
  return most;
}

const mix = (ink: string, share: number): string =>
  `color-mix(in srgb, ${ink} ${(100 * share).toFixed(0)}%, transparent)`;
