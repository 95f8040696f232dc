import { defineConfig } from 'vitest/config';
import { LongFirst } from './test/support/order.ts';
import { SecondTry } from './test/support/second-try.ts';

// On two cores: what waits makes room for a third, and a slow machine does not turn deadlines into failures.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 90_000,
    // Where nobody looks, one test of thousands does not stop a landing by chance; it is named. Elsewhere it fails at once.
    retry: process.env.CI ? 1 : 0,
    reporters: ['default', new SecondTry()],
    sequence: { sequencer: LongFirst },
    projects: [
      { extends: true, test: { name: 'test', include: ['test/**/*.test.ts'], exclude: ['test/**/*.full.test.ts'] } },
      { extends: true, test: { name: 'full', include: ['test/**/*.full.test.ts'], testTimeout: 300_000 } },
    ],
  },
});
