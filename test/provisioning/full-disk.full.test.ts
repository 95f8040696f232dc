// A node whose disk is full while it is configured: it is what it was.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';

const script = fileURLToPath(new URL('../support/place-on-full-disk.mjs', import.meta.url));
const module = join(distributionRoot(), 'plugins/wire/provisioning/placement.js');
const folder = '/mnt/node';
/** A disk has whole pages. */
const pageKiB = 4;

const names = ['ssl/private.pem', 'ssl/certificate.pem', 'ssl/ca.pem', 'server.conf'];
const plan = {
  folders: [{ path: `${folder}/policies`, files: [{ name: 'new.policy', mode: 0o400, contents: 'new' }] }],
  files: names.map((name) => ({ path: join(folder, name), mode: 0o600, contents: `new ${name}` })),
  remove: [],
};

/** Where somebody else may not make a disk, there is nothing to be seen. */
const canMount = spawnSync('unshare', ['--mount', '--map-root-user', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

test.skipIf(!canMount)('at whichever step it is full, nothing has changed, and with room everything has', () => {
  const outcomes: (string | null)[] = [];
  for (let pages = names.length + 1; pages < 40; pages += 1) {
    const make = names.map((name) => `printf old > ${join(folder, name)}`).join('; ');
    const shell = `mount -t tmpfs -o size=${pages * pageKiB}k tmpfs /mnt && mkdir -p ${folder}/ssl && { ${make}; } && exec "$@"`;
    const args = [
      '--mount',
      '--map-root-user',
      'sh',
      '-c',
      shell,
      'sh',
      process.execPath,
      script,
      module,
      folder,
      JSON.stringify(plan),
    ];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    expect(stderr).toBe('');
    const { error, before, after, settled, later } = JSON.parse(stdout) as Record<string, unknown>;
    outcomes.push(error as string | null);
    expect([pages, settled, later]).toEqual([pages, null, after]);
    if (error !== null) {
      expect([pages, error, after]).toEqual([pages, 'ENOSPC', before]);
      continue;
    }
    expect(after).toEqual({ 'policies/new.policy': 'new', ...Object.fromEntries(names.map((name) => [name, `new ${name}`])) });
    break;
  }
  expect(outcomes.filter((outcome) => outcome === 'ENOSPC').length).toBeGreaterThan(3);
  expect(outcomes.at(-1)).toBeNull();
});
