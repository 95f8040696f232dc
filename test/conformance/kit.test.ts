// The conformance kit: each check finds the plugin that was broken for it, and the sound one passes them all.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { testBundle } from '../../core/conformance/kit.ts';
import { Runtime } from '../../core/host/runtime.ts';

const runtime = new Runtime();
afterAll(() => runtime.close());
const broken = fileURLToPath(new URL('../../fixtures/bundles/broken', import.meta.url));
const { plugins } = parse(readFileSync(join(broken, 'bundle.yaml'), 'utf8')) as { plugins: { name: string }[] };
const faults = plugins.map(({ name }) => name).filter((name) => !name.startsWith('sound'));
const failed = (outcomes: Awaited<ReturnType<typeof testBundle>>) =>
  outcomes.filter(({ passed }) => !passed).map(({ check, problem }) => `${check}: ${problem}`);

describe('the plugin that is broken for it fails the check', () => {
  test.concurrent.each(faults)(
    '%s',
    async (name) => {
      const check = name.replace(/-oneshot$/, '');
      const outcomes = await testBundle(runtime, broken, { plugin: name, check });
      expect(outcomes).toHaveLength(1);
      expect(outcomes[0]).toMatchObject({ check, passed: false, problem: expect.stringMatching(/.{10}/) });
    },
    240_000,
  );

  test('and there is one for each check', async () => {
    const { persistentChecks } = await import('../../core/conformance/persistent-checks.ts');
    const { oneshotChecks } = await import('../../core/conformance/oneshot-checks.ts');
    expect(faults).toEqual([...persistentChecks.map(({ name }) => name), ...oneshotChecks.map(({ name }) => `${name}-oneshot`)]);
  });
});

describe('all checks pass for', () => {
  test.concurrent.each(['sound', 'sound-oneshot', 'sound-leaving-oneshot'])(
    'the same plugin without a fault: %s',
    async (plugin) => {
      expect(failed(await testBundle(runtime, broken, { plugin }))).toEqual([]);
    },
    240_000,
  );
});
