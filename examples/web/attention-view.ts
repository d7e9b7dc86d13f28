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
  /** Of each layer. */
  readonly oneSidedWindow: readonly number[];
  readonly answer: string;
  /** Tokens of the text that were not read. */
  readonly left: number;
}

export function startAttentionView(section: Element, sample: { question: string; text: string }): void {
  const form = section.querySelector('form')!;
  const question = Object.assign(document.createElement('input'), { type: 'text', value: sample.question });
  const text = Object.assign(document.createElement('textarea'), { rows: 6, value: sample.text });
  form.append(labelled(document.createTextNode('Question'), question), labelled(document.createTextNode('Text'), text));
  const layer = choice(form, 'Layer');
  const head = choice(form, 'Head');
  const useGlobal = tickBox(form, 'the question has global attention', true);
  const button = Object.assign(document.createElement('button'), { type: 'submit', textContent: 'Read' });
  form.append(button);
  const canvas = document.createElement('canvas');
  canvas.hidden = true;
  const panel = section.querySelector('.panels')!;
  panel.append(canvas);
  const words = section.querySelector<HTMLElement>('.reading')!;
  const spoken = section.querySelector(':scope > output')!;
  let current: Reading | undefined;
  let chosen = 0;

  const draw = (): void => {
    if (!current) return;
    const place = { layer: layer.read(), head: head.read(), row: chosen };
    canvas.hidden = false;
    paintHead(canvas, current, place, choose);
    const probabilities = probabilitiesOf(current, place);
    showWords(words, current, probabilities, chosen);
    spoken.textContent = sentenceOf(current, probabilities, chosen);
  };
  const choose = (row: number): void => {
    chosen = row;
    draw();
    reveal(panel, (canvas.clientHeight * row) / current!.encoding.inputIds.length);
    reveal(words, words.querySelector<HTMLElement>('.query')!.offsetTop - words.offsetTop);
  };

  form.addEventListener('submit', async event => {
    event.preventDefault();
    button.disabled = true;
    spoken.textContent = 'Reading …';
    try {
      current = await read(await loadCheckpoint(), question.value, text.value, useGlobal());
      layer.offer(current.layers.length);
      head.offer(current.layers[0]!.local.shape[0]!);
      const look = strongestLookAtQuestion(current);
      layer.choose(look.layer);
      head.choose(look.head);
      choose(look.row);
    } catch (error) {
      spoken.innerHTML = '<span class="error"></span>';
      spoken.firstElementChild!.textContent = (error as Error).message;
    }
    button.disabled = false;
  });
  form.addEventListener('change', event => {
    const isTick = (event.target as HTMLInputElement).type === 'checkbox';
    if (isTick && current)
      form.requestSubmit(); // read anew: what is shown must be what is ticked
    else draw();
  });
  words.addEventListener('click', event => {
    const { token } = (event.target as HTMLElement).dataset;
    if (token !== undefined) choose(Number(token));
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

/** Scrolls a box, unless what is `top` pixels down in it can be seen. The page stays where it is. */
function reveal(box: Element, top: number): void {
  const line = 24;
  if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - line) box.scrollTop = top - box.clientHeight / 2;
}

/** One row of one head. */
interface Place {
  readonly layer: number;
  readonly head: number;
  readonly row: number;
}

/** The head in HF's layout: a row is a query; its columns are the global keys, then the band. */
function paintHead(canvas: HTMLCanvasElement, reading: Reading, place: Place, onChoose: (row: number) => void): void {
  const { local } = reading.layers[place.layer]!;
  const [, rows, columns] = local.shape as [number, number, number];
  const offset = place.head * rows * columns;
  const globals = reading.globalIndices.length;
  const isGlobal = new Set(reading.globalIndices);
  const [unseen, ink, globalInk] = [colour('--unseen'), colour('--accent'), colour('--global-row')];
  const most = strongest(local.data, offset, rows * columns);
  paintGrid(canvas, {
    label: `Attention of head ${place.head} in layer ${place.layer}; row ${place.row} is chosen`,
    rows,
    columns,
    cell: Math.max(3, Math.min(12, Math.floor(420 / columns))),
    chosenRow: place.row,
    chosenColour: colour('--chosen'),
    fill: (row, column) => {
      // A global token looks at everyone: its row is in the global attentions, and in the words below the picture.
      if (isGlobal.has(row)) return mix(globalInk, 0.15);
      const p = local.data[offset + row * columns + column]!;
      return p === 0 ? unseen : mix(column < globals ? globalInk : ink, Math.sqrt(p / most));
    },
    onChoose,
  });
}

/** (T) what the chosen token pays to each. */
function probabilitiesOf(reading: Reading, { layer, head, row }: Place): Float64Array {
  const { globalIndices, layers, oneSidedWindow } = reading;
  const { local, global } = layers[layer]!;
  const [, tokens, columns] = local.shape as [number, number, number];
  const probabilities = new Float64Array(tokens);
  const slot = globalIndices.indexOf(row);
  if (slot >= 0) {
    const from = (head * global!.shape[1]! + slot) * tokens;
    for (let j = 0; j < tokens; j++) probabilities[j] = global!.data[from + j]!;
    return probabilities;
  }
  const from = (head * tokens + row) * columns;
  for (const [g, j] of globalIndices.entries()) probabilities[j]! += local.data[from + g]!;
  for (let column = globalIndices.length; column < columns; column++) {
    const j = row - oneSidedWindow[layer]! + column - globalIndices.length;
    if (j >= 0 && j < tokens) probabilities[j]! += local.data[from + column]!;
  }
  return probabilities;
}

function sentenceOf(reading: Reading, probabilities: Float64Array, chosen: number): string {
  const { encoding, globalIndices, answer, left } = reading;
  const shown = ([j, p]: [number, number]): string =>
    `“${tokenText(reading, j)}”${encoding.sequenceIds[j] === 0 ? ' in the question' : ''} ${(100 * p).toFixed(0)} %`;
  const top = [...probabilities.entries()].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const worth = top.filter(([, p]) => p >= 0.005).map(shown);
  const who = `Token ${chosen} “${tokenText(reading, chosen)}”${globalIndices.includes(chosen) ? ' (global)' : ''}`;
  const cut = left === 0 ? '' : ` The last ${left} tokens of the text were left out: ${mostTokens} are read here.`;
  return `Answer: ${answer}. ${who} attends most to ${worth.join(', ')}.${cut}`;
}

async function read(
  { model, tokenizer }: LoadedCheckpoint,
  question: string,
  text: string,
  useGlobal: boolean,
): Promise<Reading> {
  if (question.trim() === '' || text.trim() === '') throw new Error('It takes a question and a text.');
  const whole = tokenizer.encode(question, { textPair: text }).inputIds.length;
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
  const left = whole - inputIds.length;
  const { oneSidedWindow } = model.config;
  return { question, text, encoding, globalIndices, layers, oneSidedWindow, answer, left };
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

/** The text, token by token; a click on one chooses it. */
function showWords(to: Element, reading: Reading, probabilities: Float64Array, chosen: number): void {
  const { encoding, question, text } = reading;
  const ink = colour('--accent');
  const most = Math.max(...probabilities);
  const nodes: Node[] = [];
  for (let t = 0; t < probabilities.length; t++) {
    const span = document.createElement('span');
    span.textContent = tokenText(reading, t);
    span.dataset.token = String(t);
    if (probabilities[t]! > 0.002) span.style.background = mix(ink, 0.75 * Math.sqrt(probabilities[t]! / most));
    if (t === chosen) span.className = 'query';
    span.title = `${(100 * probabilities[t]!).toFixed(1)} %`;
    // Between two tokens of one text stands what stands there; a blank elsewhere.
    const sequence = encoding.sequenceIds[t]!;
    const sameText = sequence >= 0 && sequence === encoding.sequenceIds[t + 1];
    const [end, next] = [encoding.offsets[2 * t + 1]!, encoding.offsets[2 * t + 2]!];
    nodes.push(span, document.createTextNode(sameText ? (sequence === 0 ? question : text).slice(end, next) : ' '));
  }
  to.replaceChildren(...nodes);
}

function strongest(data: ArrayLike<number>, from: number, count: number): number {
  let most = 1e-9;
  for (let i = from; i < from + count; i++) most = Math.max(most, data[i]!);
  return most;
}

const mix = (ink: string, share: number): string =>
  `color-mix(in srgb, ${ink} ${(100 * share).toFixed(0)}%, transparent)`;
