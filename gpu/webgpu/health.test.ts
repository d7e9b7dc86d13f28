/** Errors of a device, on a device that says what the test tells it to. */
import { describe, expect, it } from 'vitest';
import { DeviceError, MemoryError } from '../../contract/errors.ts';
import { Health } from './health.ts';

/** Answers each error scope by its filter, and is lost when asked. */
function fakeDevice(answers: Partial<Record<GPUErrorFilter, string>>) {
  const scopes: GPUErrorFilter[] = [];
  let lose = (_: { reason: string; message: string }): void => {};
  const lost = new Promise(resolve => {
    lose = resolve;
  });
  const device = {
    lost,
    pushErrorScope: (filter: GPUErrorFilter) => scopes.push(filter),
    popErrorScope: async () => {
      const message = answers[scopes.pop()!];
      return message === undefined ? null : { message };
    },
  };
  return { device: device as unknown as GPUDevice, scopes, lose };
}

describe('health of a device', () => {
  it('says nothing when nothing happened, and leaves no scope open', async () => {
    const { device, scopes } = fakeDevice({});
    const health = new Health(device);
    const verdicts: unknown[] = [];
    const verdict = (error: unknown) => void verdicts.push(error);
    expect(health.watch('submit', () => 7, verdict)).toBe(7);
    await health.settle();
    expect(verdicts).toEqual([null]);
    expect(scopes).toEqual([]);
    const throws = () => {
      throw new RangeError('of the caller');
    };
    expect(() => health.watch('submit', throws, verdict)).toThrow('of the caller');
    expect(scopes).toEqual([]);
  });

  it.each([
    ['validation', 'Validation'],
    ['internal', 'Internal'],
  ] as const)('%s becomes a DeviceError', async (filter, reason) => {
    const health = new Health(fakeDevice({ [filter]: 'binding 3 is too large\n - while encoding' }).device);
    let error: unknown;
    health.watch(
      'submit',
      () => {},
      verdict => {
        error = verdict;
      },
    );
    await health.settle();
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: 'E_DEVICE', reason });
    expect((error as Error).message).toBe(
      'webgpu: "submit" expected to be accepted by the device, got binding 3 is too large.',
    );
  });

  it('out-of-memory becomes a MemoryError', async () => {
    const health = new Health(fakeDevice({ 'out-of-memory': 'no more' }).device);
    let refusal: unknown;
    health.watch(
      'allocate rows (9, 9)',
      () => {},
      error => {
        refusal = error;
      },
    );
    await health.settle();
    expect(refusal).toBeInstanceOf(MemoryError);
    expect((refusal as Error).message).toBe(
      'webgpu: "allocate rows (9, 9)" expected memory of the device, got no more.\n  Hint: run fewer or shorter documents at once.',
    );
  });

  it('a lost device explains a buffer that could not be mapped', async () => {
    const { device, lose } = fakeDevice({});
    const health = new Health(device);
    setTimeout(() => lose({ reason: 'unknown', message: 'the driver was updated' }), 5);
    const error = await health.explain(new Error('mapAsync failed')).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    expect((error as Error).message).toBe(
      'webgpu: "device" expected to answer, got a lost device (unknown: the driver was updated).\n' +
        '  Hint: make new kernels; everything on this device is gone.',
    );
    expect(health.loss).toBe(error);
  });
});
