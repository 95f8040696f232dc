// The Rust SDK, built with the tool chain of this machine.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { needs, root, shapeBundle } from '../support/languages.ts';
import { describeShape } from '../support/sdk-shape.ts';

describeShape('an agent in Rust', { bundle: (parent) => shapeBundle('rust', parent) });

test('the example at the head of its documentation compiles', () => {
  needs('cargo');
  const { status, stderr } = spawnSync('cargo', ['test', '--doc', '--quiet'], {
    cwd: join(root, 'core/sdk/rust'),
    encoding: 'utf8',
    env: { ...process.env, CARGO_TARGET_DIR: join(root, '.tools/cargo') },
  });
  expect([status, stderr]).toEqual([0, '']);
});
