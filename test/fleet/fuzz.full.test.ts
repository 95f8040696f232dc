// A million messages of every kind, damaged by the dice. FUZZ_SEED=random looks for more; a failure tells its seed.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkRain, FuzzRun, seedOf } from '../support/fuzz-run.ts';

const minutes = 60_000;
const seed = seedOf(process.env.FUZZ_SEED);
let run: FuzzRun;
beforeAll(async () => {
  run = await FuzzRun.start(seed);
});
afterAll(() => run.stop());

test(
  '1,000,000 damaged messages harm nobody',
  async () => {
    expect(await checkRain(run, seed, { count: 1_000_000, warmUp: 40_000 })).toMatchObject({ faults: [] });
  },
  20 * minutes,
);
