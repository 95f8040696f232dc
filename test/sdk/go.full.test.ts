// The Go SDK, built with the tool chain of this machine.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { needs, root, shapeBundle } from '../support/languages.ts';
import { describeShape } from '../support/sdk-shape.ts';

describeShape('an agent in Go', { bundle: (parent) => shapeBundle('go', parent) });

test('the SDK itself is in good order: gofmt and go vet say nothing', () => {
  needs('go');
  for (const [command, ...args] of [
    ['gofmt', '-l', '.'],
    ['go', 'vet', './...'],
  ]) {
    const { stdout, stderr } = spawnSync(command ?? '', args, { cwd: join(root, 'core/sdk/go'), encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['', '']);
  }
});
