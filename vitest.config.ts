import { defineConfig } from 'vitest/config';

// On two cores: what waits makes room for a third, and a slow machine does not turn deadlines into failures.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    projects: [
      { extends: true, test: { name: 'test', include: ['test/**/*.test.ts'], exclude: ['test/**/*.full.test.ts'] } },
      { extends: true, test: { name: 'full', include: ['test/**/*.full.test.ts'], testTimeout: 300_000 } },
    ],
  },
});
