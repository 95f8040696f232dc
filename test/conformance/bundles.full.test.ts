// The conformance kit on bundles that are in use, and on fixtures in other languages.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Runtime } from '../../core/host/runtime.ts';
import { temporaryFolder } from '../support/folders.ts';
import { needs, shapeBundle } from '../support/languages.ts';

const runtime = new Runtime();
beforeAll(() => needs('ruby'));
const { path: folder, remove } = temporaryFolder();
afterAll(() => {
  runtime.close();
  remove();
});
const fixtures = fileURLToPath(new URL('../../fixtures/bundles', import.meta.url));
const failed = (outcomes: Awaited<ReturnType<typeof testBundle>>) =>
  outcomes.filter(({ passed }) => !passed).map(({ check, problem }) => `${check}: ${problem}`);

describe('all checks pass for', () => {
  test.concurrent.each([
    'agents/host',
    'agents/uptime',
    'agents/nettest',
    'agents/package',
    'agents/process',
    'agents/service',
    'agents/shell',
    'plugins/authorization',
    'plugins/policies',
    'plugins/audit',
  ])('%s', async (bundle) => {
    expect(failed(await testBundle(runtime, join(distributionRoot(), bundle)))).toEqual([]);
  });

  test.concurrent('an agent with the SDK for Python', async () => {
    expect(failed(await testBundle(runtime, shapeBundle('python', folder)))).toEqual([]);
  });

  test.concurrent.each(['echo-python', 'echo-raw', 'upcase'])('the fixture %s', async (bundle) => {
    expect(failed(await testBundle(runtime, join(fixtures, bundle)))).toEqual([]);
  });
});
