// Services that decide what their configuration is, and what plugins may ask of a host about configurations and ends.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { chooseSettings } from '../../core/host/chosen-settings.ts';
import { distributionRoot } from '../../core/host/distribution.ts';
import { parseManifest } from '../../core/host/manifest.ts';
import { loadSettings } from '../../core/host/settings.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

let folder: string;
let remove: () => void;
let distributions = 0;
const hosts: TestHost[] = [];
const sdk = pathToFileURL(join(distributionRoot(), 'core/sdk/typescript/index.js')).href;
beforeEach(() => {
  ({ path: folder, remove } = temporaryFolder());
});
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
  remove();
});

/** A distribution with one service, whose module for settings has this body. */
function distribution(body: string): string {
  // A module is loaded once for each place.
  distributions += 1;
  const root = join(folder, `root-${distributions}`);
  mkdirSync(join(root, 'generated'), { recursive: true });
  writeFileSync(join(root, 'generated/bundle-folders.json'), '["plugins"]');
  const manifest = `bundle: b\nversion: 1.0.0\nconfig:\n  keys:\n    b.size: { type: integer, description: Size }\nplugins:\n  - { kind: service, name: b, runner: inline, module: ./b.js, settings: ./settings.mjs }\n`;
  writeBundle(join(root, 'plugins'), 'b', manifest, {
    'settings.mjs': `export default { choose: async ({ file, read }) => {${body}} };`,
  });
  return root;
}

async function load(body: string, services = ['b']): Promise<ReadonlyMap<string, unknown>> {
  const [root, file] = [distribution(body), join(folder, 'b.conf')];
  const { chosen } = await chooseSettings({ root, services, file });
  return loadSettings({ root, file, project: false, optional: false, chosen }).config.values;
}

test('a service puts entries in place of those of a file, whether it is there or not', async () => {
  const body = "return { entries: [...(read() ?? []), { key: 'b.size', value: '7' }] };";
  expect((await load(body)).get('b.size')).toBe(7);
  writeFileSync(join(folder, 'b.conf'), 'b.size = 1\nother = 2\n');
  const values = await load(body);
  expect([values.get('b.size'), values.get('other')]).toEqual([7, '2']);
});

test('it may leave the file as it is, and is not asked if another service runs', async () => {
  writeFileSync(join(folder, 'b.conf'), 'b.size = 1\n');
  expect((await load('return undefined;')).get('b.size')).toBe(1);
  expect((await load("throw new Error('asked');", ['other'])).get('b.size')).toBe(1);
  await expect(load("throw new Error('not like this');")).rejects.toThrow('not like this');
});

test('a wrong value is told with where it came from', async () => {
  await expect(load("return { entries: [{ key: 'b.size', value: 'x' }] };")).rejects.toThrow(
    /^b:0: b\.size must be a whole number/,
  );
});

test('a module for settings lies in its bundle', () => {
  const manifest =
    'bundle: b\nversion: 1.0.0\nplugins:\n  - { kind: service, name: b, runner: inline, module: ./b.js, settings: ./../x.js }\n';
  expect(() => parseManifest(manifest, 'bundle.yaml')).toThrow(/leaves the bundle's folder/);
});

const parent = `
import { definePlugin } from '${sdk}';
export default definePlugin({
  kind: 'service', version: '1',
  create: (host) => {
    const asked = [];
    return { methods: {
      'service/status': async () => ({ healthy: true, summary: '', details: { asked: [...asked] } }),
      'x/start': ({ file }) => host.control.startHost({ id: 'child', config: { 'x.size': 3 }, configFile: file, services: ['child'] }, (request) => asked.push(request)),
      'x/read': ({ file }) => host.control.readConfig(file),
    } };
  },
});`;
const child = `
import { definePlugin } from '${sdk}';
export default definePlugin({
  kind: 'service', version: '1',
  create: (host) => ({
    methods: { 'service/status': async () => ({ healthy: true, summary: '' }) },
    activate: async () => {
      const { configFile } = await host.control.info();
      await host.timers.set({ id: 'end', afterMs: 10 }, () => host.control.restart([configFile, host.config['x.size'], host.config['x.name']].join(' ')));
    },
  }),
});`;

async function family(): Promise<TestHost> {
  const manifest = `bundle: x
version: 1.0.0
config:
  keys:
    x.size: { type: integer, description: Size }
    x.name: { type: string, description: Name }
plugins:
  - { kind: service, name: parent, runner: inline, module: ./parent.mjs, needs: { host: true, hosts: true } }
  - { kind: service, name: child, runner: inline, module: ./child.mjs, needs: { host: true, timers: true } }
`;
  writeBundle(folder, 'x', manifest, { 'parent.mjs': parent, 'child.mjs': child });
  const host = await startHost({ bundles: [folder], services: ['parent'] });
  hosts.push(host);
  return host;
}

test('a host that was started by another asks that one for its end, and reads its own file', async () => {
  const host = await family();
  const file = join(folder, 'child.conf');
  writeFileSync(file, 'x.size = 1\nx.name = of-the-file\n');
  const plugin = host.host.plugin('service', 'parent');
  await plugin?.call('x/start', { file }, {});
  const asked = await until('the child asks', async () => {
    const { details } = (await host.host.call('service', 'parent', 'service/status', {})) as { details: { asked: unknown[] } };
    return details.asked.length > 0 && details.asked;
  });
  expect(asked).toEqual([{ id: 'child', reason: `${file} 3 of-the-file`, exitCode: 0, restart: true }]);
});

test('a plugin is told what is wrong with a configuration, and the values of its own keys', async () => {
  const host = await family();
  const file = join(folder, 'some.conf');
  const read = () => host.host.plugin('service', 'parent')?.call('x/read', { file }, {});
  writeFileSync(file, 'x.size = 4\nelse = 5\n');
  expect(await read()).toEqual({ problems: [], values: { 'x.size': 4 } });
  writeFileSync(file, 'x.size = four\n');
  expect(await read()).toEqual({ problems: [expect.stringContaining('some.conf:1: x.size must be a whole number')], values: {} });
  expect(readFileSync(file, 'utf8')).toBe('x.size = four\n');
});
