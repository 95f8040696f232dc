import { defineConfig } from 'vitest/config';
import { LongFirst } from './test/support/order.ts';

// On two cores: what waits makes room for a third, and a slow machine does not turn deadlines into failures.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 90_000,
    sequence: { sequencer: LongFirst },
    projects: [
      { extends: true, test: { name: 'test', include: ['test/**/*.test.ts'], exclude: ['test/**/*.full.test.ts'] } },
      { extends: true, test: { name: 'full', include: ['test/**/*.full.test.ts'], testTimeout: 300_000 } },
    ],
  },
});
