// `overlay up --exit`, which `npm start -- --exit` is: everything is made and started, the main job shown.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '../support/folders.ts';
import { ended, Overlay } from '../support/overlay.ts';

test('overlay up --exit shows the main job and leaves with 0; a taken port is chosen around', async () => {
  await using overlay = new Overlay();
  const port = await freePort();
  const taken = createServer().listen(port, '127.0.0.1');
  await once(taken, 'listening');
  const first = overlay.up('--exit', '--port', String(port));
  const code = await ended(first);
  taken.close();
  const text = first.text();
  expect([code, text]).toEqual([0, expect.any(String)]);
  expect(text).toContain(`Port ${port} is taken; the broker listens on`);
  for (const name of ['web1', 'web2', 'db1', 'db2', 'lab1'])
    for (const step of ['seen', 'token', 'csr', 'signed', 'configured', 'up'])
      expect(text).toMatch(new RegExp(`^\\S+Z {2}${name}\\.example\\.net {2}${step}$`, 'm'));
  expect(text).toMatch(/5 replies max: [\d.]+ms min: [\d.]+ms/);
  expect(text).toMatch(/Summary of Value:\s+Debian: 3\s+RedHat: 2/);
  expect(text).toContain('You are not authorized to call this agent or action');
  expect(text).toMatch(/No Responses from: 1\s+lab1\.example\.net/);
}, 240_000);
