// A node that is ended by kill -9 at any step of being configured is, at its next start, what it was or what it was to be, whole.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { type PlacementPlan, settlePlacement } from '../../plugins/wire/provisioning/placement.ts';
import { temporaryFolder } from './folders.ts';

const script = fileURLToPath(new URL('./place-and-die.mjs', import.meta.url));
const module = join(distributionRoot(), 'plugins/wire/provisioning/placement.js');

export function planFor(folder: string): PlacementPlan {
  const at = (name: string) => join(folder, name);
  return {
    folders: [{ path: at('policies'), files: [{ name: 'new.policy', mode: 0o400, contents: 'new' }] }],
    files: [
      { path: at('ssl/private.pem'), mode: 0o600, contents: 'new key' },
      { path: at('ssl/certificate.pem'), mode: 0o644, contents: 'new certificate' },
      { path: at('ssl/ca.pem'), mode: 0o644, contents: 'new ca' },
      { path: at('server.conf'), mode: 0o600, contents: 'new configuration' },
    ],
    remove: [at('ssl/private.pem.next')],
  };
}

/** Paths with modes and contents. */
export function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => [relative(folder, path), `${(statSync(path).mode & 0o777).toString(8)} ${readFileSync(path, 'utf8')}`]),
  );
}

const whole = {
  'policies/new.policy': '400 new',
  'server.conf': '600 new configuration',
  'ssl/ca.pem': '644 new ca',
  'ssl/certificate.pem': '644 new certificate',
  'ssl/private.pem': '600 new key',
};

export function prepare(folder: string, kind: 'fresh' | 'serving'): Record<string, string> {
  mkdirSync(join(folder, 'ssl'), { recursive: true });
  writeFileSync(join(folder, 'ssl/private.pem.next'), 'new key', { mode: 0o600 });
  if (kind === 'serving') {
    mkdirSync(join(folder, 'policies'));
    for (const name of ['policies/old.policy', 'ssl/private.pem', 'ssl/certificate.pem', 'ssl/ca.pem', 'server.conf'])
      writeFileSync(join(folder, name), `old ${name}`, { mode: 0o600 });
  }
  return contents(folder);
}

export function describePlacement(kind: 'fresh' | 'serving'): void {
  describe(`of a node that is ${kind}`, () => {
    test('each step leaves one or the other', () => {
      const steps: string[] = [];
      const outcomes = new Set<string>();
      for (let last = 0; ; last += 1) {
        const { path: folder, remove } = temporaryFolder();
        const before = prepare(folder, kind);
        const { signal, stdout } = spawnSync(
          process.execPath,
          [script, module, folder, JSON.stringify(planFor(folder)), String(last)],
          {
            encoding: 'utf8',
          },
        );
        const settled = settlePlacement(folder);
        const after = contents(folder);
        const isWhole = settled === 'finished' || signal === null;
        expect([last, after]).toEqual([last, isWhole ? whole : before]);
        expect([last, settlePlacement(folder), contents(folder)]).toEqual([last, undefined, after]);
        outcomes.add(String(settled));
        remove();
        steps.push(...stdout.split('\n').slice(steps.length, -1));
        if (signal === null) break;
        expect(signal).toBe('SIGKILL');
      }
      expect(steps.length).toBeGreaterThan(10);
      expect([...outcomes].sort()).toEqual(['finished', 'removed', 'undefined']);
    });
  });
}
