// What `plugin new` writes for kinds other than agents, in languages that need no compiler.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';
import { needs, pluginNew } from '../support/languages.ts';

const { path: folder, remove } = temporaryFolder();
beforeAll(() => needs('ruby'));
afterAll(remove);

const call = async (bundle: string, method: string, params: object): Promise<unknown> => {
  const { code, out, err } = await runMuster(['plugin', 'call', join(folder, bundle), method, JSON.stringify(params)]);
  expect([code, code === 0 ? '' : err]).toEqual([0, '']);
  return JSON.parse(out);
};

test.each(['ts', 'python', 'ruby', 'shell'])('a data plugin in %s works at once', async (language) => {
  const name = `size_${language}`;
  await pluginNew(folder, 'data', name, language);
  writeFileSync(join(folder, 'measured'), '12345');
  expect(await call(name, 'data/get', { source: name, query: join(folder, 'measured') })).toEqual({ data: { size: 5 } });
});

test.each(['ts', 'python', 'ruby', 'shell'])('a plugin of any kind in %s answers by its contract', async (language) => {
  const name = `judge_${language}`;
  await pluginNew(folder, 'authorizer', name, language);
  expect(await call(name, 'authorizer/authorize', { requests: [] })).toEqual({ decisions: [] });
});
