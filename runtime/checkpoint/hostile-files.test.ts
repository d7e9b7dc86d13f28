/** Every damaged or hostile file of hostile-files.ts gets its verdict, and only typed errors come out. */
import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../../contract/errors.ts';
import { createMemorySource } from './byte-source.ts';
import { crowds, hostileFiles } from './hostile-files.ts';
import { openSafetensors } from './safetensors.ts';

async function verdictOn(bytes: Uint8Array): Promise<string> {
  try {
    await openSafetensors(createMemorySource(bytes));
    return 'accepted';
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return error.reason!;
  }
}

describe('hostile safetensors files', () => {
  test.each(hostileFiles)('$fault: $verdict', async ({ verdict, bytes }) => {
    expect(await verdictOn(bytes)).toBe(verdict);
  });

  // What compares each with each needs minutes for these; the time limit of a test is the bound.
  test.each(crowds)('$fault: $verdict, before the test gives up', async ({ verdict, make }) => {
    expect(await verdictOn(make())).toBe(verdict);
  });

  test('every fault is described once', () => {
    const faults = hostileFiles.map(({ fault }) => fault);
    expect(faults.filter((fault, i) => faults.indexOf(fault) !== i)).toEqual([]);
  });

  test.each([1, 2, 3, 4, 5, 6, 7])('a valid file cut after %i eighths is incomplete', async eighths => {
    const { bytes } = hostileFiles.find(({ fault }) => fault === 'F32 at an odd offset')!;
    const cut = bytes.subarray(0, Math.floor((bytes.length * eighths) / 8));
    expect(['HeaderTooSmall', 'InvalidHeaderLength', 'MetadataIncompleteBuffer']).toContain(await verdictOn(cut));
  });
});
