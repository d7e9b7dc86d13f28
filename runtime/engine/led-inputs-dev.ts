import type { LedConfig } from '../../contract/config.ts';
import type { EncoderInputs, LedInputs } from '../../contract/model.ts';
export function expectLedInputs(_inputs: LedInputs, _config: LedConfig): void {}
export function expectLedSource(_inputs: EncoderInputs, _config: LedConfig): void {}
export function decoderIdsOf(inputs: LedInputs, config: LedConfig): Int32Array {
  if (inputs.decoderInputIds) return inputs.decoderInputIds;
  const ids = inputs.inputIds!;
  return Int32Array.from(ids, (_, t) => (t === 0 ? config.decoderStartTokenId! : ids[t - 1]!));
}
