// What `plugin new` writes in compiled languages, for a kind with a template of its own and for any other: it builds, and
// passes the conformance kit. (Those that need no compiler are in test/cli/plugin-new.full.test.ts.)

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { Runtime } from '../../core/host/runtime.ts';
import { temporaryFolder } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { compile, pluginNew } from '../support/languages.ts';

const { path: folder, remove } = temporaryFolder();
const runtime = new Runtime();
afterAll(() => {
  runtime.close();
  remove();
});

describe.each(['go', 'rust'] as const)('in %s', (language) => {
  test.each(['data', 'authorizer'])('a plugin of kind %s builds and passes the kit', async (kind) => {
    const name = `${kind}_${language}`;
    await pluginNew(folder, kind, name, language);
    compile(language, join(folder, name), join(folder, name, name));
    if (language === 'go') expect(execFileSync('gofmt', ['-l', '.'], { cwd: join(folder, name), encoding: 'utf8' })).toBe('');
    expect((await testBundle(runtime, join(folder, name))).filter(({ passed }) => !passed)).toEqual([]);
  });

  test('the data plugin measures, and the authorizer answers by its contract', async () => {
    writeFileSync(join(folder, 'measured'), '12345');
    const running = await startHost({ bundles: [folder], runtime });
    try {
      const get = (query: string) => running.host.call('data', `data_${language}`, 'data/get', { source: 'x', query });
      expect(await get(join(folder, 'measured'))).toEqual({ data: { size: 5 } });
      expect(await get('/no/such/file')).toEqual({ data: null });
      const judged = running.host.call('authorizer', `authorizer_${language}`, 'authorizer/authorize', { requests: [] });
      expect(await judged).toEqual({ decisions: [] });
    } finally {
      await running.stop();
    }
  });
});
