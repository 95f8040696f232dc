// Messages of every kind, damaged by the dice: nobody falls over, nobody grows, and who asks well is answered afterwards.
// FUZZ_SEED=random looks for more; a failure tells its seed. `fuzz.full.test.ts` does the same for a hundred times as long.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkRain, FuzzRun, seedOf } from '../support/fuzz-run.ts';

const seed = seedOf(process.env.FUZZ_SEED);
let run: FuzzRun;
beforeAll(async () => {
  run = await FuzzRun.start(seed);
});
afterAll(() => run.stop());

test('10,000 damaged messages harm nobody', async () => {
  expect(await checkRain(run, seed, { count: 10_000, warmUp: 4_000 })).toMatchObject({ faults: [] });
});
