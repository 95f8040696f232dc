// A node that is ended by kill -9 at any step of being configured is, at its next start, what it was or what it was to be, whole.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { place, settlePlacement, stage } from '../../plugins/wire/provisioning/placement.ts';
import { temporaryFolder } from '../support/folders.ts';
import { contents, describePlacement, planFor, prepare } from '../support/placement-spec.ts';

describePlacement('serving');

test('a folder that can not be written changes nothing, and a journal that is none is told of', () => {
  const { path: folder, remove } = temporaryFolder();
  const before = prepare(folder, 'serving');
  const plan = planFor(folder);
  writeFileSync(join(folder, 'blocked'), '');
  const blocked = { ...plan, files: [...plan.files, { path: join(folder, 'blocked/file'), mode: 0o600, contents: 'x' }] };
  expect(() => stage(folder, blocked)).toThrow(/blocked/);
  expect(contents(folder)).toEqual({ ...before, blocked: '644 ' });
  expect(() => place(folder)).toThrow(/nothing is staged/);
  writeFileSync(join(folder, '.muster-placement.json'), '{"version":9');
  expect(() => settlePlacement(folder)).toThrow(/\.muster-placement\.json is no journal/);
  remove();
});
