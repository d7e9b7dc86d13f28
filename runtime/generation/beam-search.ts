/**
 * Beam search exactly as Hugging Face does it since version 4.50: numBeams running hypotheses and numBeams places for finished ones.
 *
 * Documents never look at each other: one that can gain nothing more keeps its answer while the others go on. Read before: scores.ts.
 * Source: HF GenerationMixin._beam_search. A score that must lose has `lost` added, as there: an order among losers stays.
 */
import type { GeneratedSequence } from '../../contract/generation.ts';
import type { Decoding } from '../../contract/model.ts';
import type { LogitsProcessor } from './logits-processors.ts';
import type { Settings } from './options.ts';
import { BestScores, logSoftmax } from './scores.ts';
import type { StepHooks } from './step-hooks.ts';

const lost = -1e9;

/** A hypothesis among the finished ones, or an empty place. */
interface Place {
  readonly ids: Int32Array;
  readonly score: number;
  readonly filled: boolean;
}

/** What becomes of one candidate: a token behind a running beam. */
interface Candidate {
  /** Running beam it continues. */
  readonly parent: number;
  readonly token: number;
  /** Sum of log probabilities. */
  readonly sum: number;
  /** It ends here: an ending token, or no room for another. */
  readonly hits: boolean;
}

/** The search of one document. */
class Beams {
  readonly #settings: Settings;
  /** (numBeams)(maxLength) Running hypotheses, best first. */
  ids: Int32Array[];
  #spare: Int32Array[];
  /** (numBeams) Sums of log probabilities. */
  readonly sums: Float64Array;
  /** (numBeams) Beam of the step before that each continues. */
  readonly parents: Int32Array;
  places: Place[];
  /** Whether a running hypothesis could still beat a finished one. Once false, for ever. */
  hopeful = true;

  constructor(settings: Settings, prompt: Int32Array) {
    const { numBeams, maxLength } = settings;
    this.#settings = settings;
    const rows = (): Int32Array[] => Array.from({ length: numBeams }, () => new Int32Array(maxLength));
    this.ids = rows();
    this.#spare = rows();
    for (const row of this.ids) row.set(prompt);
    // All beams are alike at first, so only the first one counts.
    this.sums = new Float64Array(numBeams).fill(lost, 1);
    this.parents = new Int32Array(numBeams);
    this.places = Array.from({ length: numBeams }, () => ({ ids: prompt, score: lost, filled: false }));
  }

  get full(): boolean {
    return this.places.every(({ filled }) => filled);
  }

  /** Nothing that can still happen changes the answer. */
  get settled(): boolean {
    return !this.hopeful || (this.#settings.earlyStopping === true && this.full);
  }

  /** From length t to t + 1. candidates: the best of all beams' continuations, in descending order. */
  advance(candidates: readonly Candidate[], t: number): void {
    this.#finish(candidates, t);
    this.#continue(candidates, t);
    this.#hope(t + 1);
  }

  /** The best candidates that end here take places of worse ones. */
  #finish(candidates: readonly Candidate[], t: number): void {
    const { numBeams, promptLength, lengthPenalty, earlyStopping } = this.#settings;
    const closed = (earlyStopping === true && this.full ? lost : 0) + (this.hopeful ? 0 : lost);
    const divisor = (t + 1 - promptLength) ** lengthPenalty;
    const contenders = candidates.map(({ sum, hits }, rank) => {
      // Candidates behind the first numBeams are there to go on with, not to end.
      const filled = hits && rank < numBeams;
      return { score: sum / divisor + closed + (filled ? 0 : lost), filled, rank };
    });
    const best = [...this.places.map(({ score }) => ({ score, filled: false, rank: -1 })), ...contenders]
      .map((entry, order) => ({ ...entry, order }))
      .sort((a, b) => b.score - a.score || a.order - b.order)
      .slice(0, numBeams);
    this.places = best.map(({ score, filled, rank, order }) => {
      if (rank < 0) return this.places[order]!;
      const { parent, token } = candidates[rank]!;
      const ids = this.ids[parent]!.slice(0, t + 1);
      ids[t] = token;
      return { ids, score, filled };
    });
  }

  /** The best candidates that do not end run on. */
  #continue(candidates: readonly Candidate[], t: number): void {
    const { numBeams } = this.#settings;
    const running = candidates
      .map(({ sum, hits }, rank) => ({ sum: sum + (hits ? lost : 0), rank }))
      .sort((a, b) => b.sum - a.sum || a.rank - b.rank)
      .slice(0, numBeams);
    for (const [beam, { sum, rank }] of running.entries()) {
      const { parent, token } = candidates[rank]!;
      const row = this.#spare[beam]!;
      row.set(this.ids[parent]!.subarray(0, t));
      row[t] = token;
      this.sums[beam] = sum;
      this.parents[beam] = parent;
    }
    [this.ids, this.#spare] = [this.#spare, this.ids];
  }

  /** HF _check_early_stop_heuristic. length: after the step. */
  #hope(length: number): void {
    const { earlyStopping, lengthPenalty, promptLength, maxLength } = this.#settings;
    const reach = earlyStopping === 'never' && lengthPenalty > 0 ? maxLength : length;
    const best = this.sums[0]! / (reach - promptLength) ** lengthPenalty;
    const worst = Math.min(...this.places.map(({ score }) => score));
    this.hopeful &&= this.places.some(({ filled }) => best > (filled ? worst : lost));
  }
}

/** decoding: document by document, numBeams groups each. Returns (documents)(numReturnSequences), best first. */
export async function searchBeams(
  decoding: Decoding,
  settings: Settings,
  process: LogitsProcessor,
  { turn }: StepHooks,
  vocabSize: number,
): Promise<GeneratedSequence[][]> {
  const { prompts, promptLength, maxLength, numBeams, numReturnSequences, eosTokenIds } = settings;
  const searches = prompts.map(prompt => new Beams(settings, prompt));
  const scores = new Float64Array(vocabSize);
  const best = new BestScores(Math.max(2, 1 + eosTokenIds.length) * numBeams);
  const tokens = new Int32Array(decoding.groups);
  const parents = new Int32Array(decoding.groups);

  const prompt = new Int32Array(decoding.groups * promptLength);
  for (let group = 0; group < decoding.groups; group++) {
    prompt.set(prompts[Math.floor(group / numBeams)]!, group * promptLength);
  }
  let logits = await decoding.prefill(prompt);
  for (let t = promptLength; ; t++) {
    for (const [document, beams] of searches.entries()) {
      const first = document * numBeams;
      if (beams.settled) {
        // Its rows are computed with the others' and not looked at.
        for (let beam = 0; beam < numBeams; beam++) parents[first + beam] = first + beam;
        continue;
      }
      best.clear();
      for (let beam = 0; beam < numBeams; beam++) {
        logSoftmax(scores, logits, (first + beam) * vocabSize);
        process(scores, beams.ids[beam]!.subarray(0, t), document);
        best.show(scores, beams.sums[beam], beam * vocabSize);
      }
      const candidates = Array.from({ length: best.count }, (_, i): Candidate => {
        const token = best.indices[i]! % vocabSize;
        const hits = eosTokenIds.includes(token) || t + 1 >= maxLength;
        return { parent: Math.floor(best.indices[i]! / vocabSize), token, sum: best.scores[i]!, hits };
      });
      beams.advance(candidates, t);
      for (let beam = 0; beam < numBeams; beam++) {
        tokens[first + beam] = beams.ids[beam]![t]!;
        parents[first + beam] = first + beams.parents[beam]!;
      }
    }
    const settled = searches.filter(beams => beams.settled).length;
    const done = settled === searches.length || t + 1 >= maxLength;
    await turn(t + 1, settled, done);
    if (done) break;
    logits = await decoding.step(tokens, parents);
  }
  return searches.map(({ places }) => places.slice(0, numReturnSequences).map(({ ids, score }) => ({ ids, score })));
}
