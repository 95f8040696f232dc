// The structure that the design draws: which folder may import which, and what the core must not know.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const filesBelow = (folder: string, end: RegExp): string[] =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .map((file) => join(folder, file))
        .filter((file) => end.test(file) && statSync(join(root, file)).isFile())
    : [];

/** The room of a file: the part of its path that rules speak of. */
function roomOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  if (top === 'core') return `core/${second}`;
  return ['plugins', 'provisioning-hooks'].includes(top) ? `${top}/${second}` : top;
}

/** What a room may import besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'core/protocol': [],
  'core/config': [],
  'core/sdk': ['core/protocol'],
  'core/host': ['core/protocol', 'core/config', 'core/capabilities', 'core/sdk'],
  'core/capabilities': ['core/protocol', 'core/config', 'core/host'],
  'core/conformance': ['core/protocol', 'core/host'],
  'core/cli': ['core/protocol', 'core/config', 'core/host', 'core/conformance'],
  'core/setup': ['core/protocol', 'core/cli'],
};

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, specifier = '']) =>
    relative(root, resolve(root, dirname(file), specifier)),
  );
}

test('imports go one way', () => {
  const wrong = [
    ...filesBelow('core', /\.(ts|mjs|cjs)$/),
    ...filesBelow('plugins', /\.ts$/),
    ...filesBelow('agents', /\.ts$/),
    ...filesBelow('provisioning-hooks', /\.ts$/),
  ].flatMap((file) => {
    const room = roomOf(file);
    return importsOf(file)
      .filter((target) => {
        const to = roomOf(target);
        if (to === room) return false;
        // A plugin uses the SDK and the library of wire formats; nothing of another plugin, nothing of the host.
        if (/^(plugins|provisioning-hooks)\//.test(room) || room === 'agents')
          return !(to === 'core/sdk' || to === 'plugins/wire');
        return !(allowed[room] ?? []).includes(to);
      })
      .map((target) => `${file} imports ${target}`);
  });
  expect(wrong).toEqual([]);
});

test('the core knows nothing of fleets', () => {
  const kinds = readdirSync(join(root, 'ddl/contracts')).flatMap((file) =>
    Object.keys((JSON.parse(readFileSync(join(root, 'ddl/contracts', file), 'utf8')) as { methods: object }).methods),
  );
  // The one kind that the core itself calls: a command is how it is used.
  const words = [
    /\bfleets?\b/i,
    /choria/i,
    /provision/i,
    /mcollective/i,
    ...kinds.filter((name) => !name.startsWith('command/')).map((name) => new RegExp(`\\b${name}\\b`)),
  ];
  const wrong = filesBelow('core', /\.(ts|mjs|cjs|sh|json|md)$/)
    .filter((file) => !file.startsWith('core/sdk/') && !file.startsWith('core/setup/'))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      return words.filter((word) => word.test(text)).map((word) => `${file} says ${word}`);
    });
  expect(wrong).toEqual([]);
});

describe('every first-party inline plugin', () => {
  const folders = ['plugins', 'provisioning-hooks'];
  const manifests = folders
    .flatMap((folder) => filesBelow(folder, /bundle\.yaml$/))
    .map(
      (file) =>
        parse(readFileSync(join(root, file), 'utf8')) as {
          plugins: { kind: string; name: string; runner: string; module?: string }[];
        },
    );
  const inline = manifests.flatMap(({ plugins }) => plugins.filter(({ runner }) => runner === 'inline'));

  test('has a module, and so runs as persistent by one word in its manifest', () => {
    expect(inline.length).toBeGreaterThan(5);
    for (const plugin of inline) expect(plugin.module).toMatch(/^\.\//);
  });

  test('has no state at module level', () => {
    const wrong = folders
      .flatMap((folder) => filesBelow(folder, /\.ts$/))
      .flatMap((file) =>
        readFileSync(join(root, file), 'utf8')
          .split('\n')
          .filter((line) => /^(export )?(let|var) /.test(line) || /^(export )?const \w+ = new (Map|Set|WeakMap)\(\)/.test(line))
          .map((line) => `${file}: ${line}`),
      );
    expect(wrong).toEqual([]);
  });
});

test('the top level holds the rooms and tool files only', () => {
  const rooms = ['core', 'plugins', 'agents', 'watchers', 'provisioning-hooks', 'ddl', 'fixtures', 'test', 'node_modules'];
  const files = ['package.json', 'package-lock.json', 'tsconfig.json', 'biome.json', 'vitest.config.ts', 'README.md', 'LICENSE'];
  expect(readdirSync(root).filter((name) => !name.startsWith('.') && !rooms.includes(name) && !files.includes(name))).toEqual([]);
});
