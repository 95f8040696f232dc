// What `muster audit search` shows of records whose names came from strangers.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { requestText } from '../../plugins/wire/v1/messages.ts';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';

test('a record is one line, whatever a refused request wrote into its names', async () => {
  const { path, remove } = temporaryFolder();
  try {
    const forged = '\n2026-01-01T00:00:00Z  allow  up=root  shell#run  from desk.test  (x)';
    const request = requestText({
      id: 'a'.repeat(32),
      sender: `desk.test${forged}`,
      caller: 'up=anna',
      collective: 'mcollective',
      agent: `rpcutil\u2028${forged}`,
      ttl: 60,
      time: 1_700_000_000,
      filter: { ...emptyFilter, identity: [`n1${forged}`] },
      body: '{"agent":"rpcutil","action":"ping","data":{}}',
    });
    const record = {
      protocol: 'io.choria.signer.v1.signature_audit',
      callerid: `up=anna${forged}`,
      action: 'deny',
      site: 'mla1',
      time: 1_700_000_000,
      request: JSON.parse(request),
    };
    const log = join(path, 'audit.log');
    writeFileSync(log, `${JSON.stringify(record)}\n`);
    const { code, out } = await runMuster(['audit', 'search', log]);
    expect(code).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(1);
    expect(out).toMatch(/^2023-11-14T22:13:20Z {2}deny {3}up=anna/);
  } finally {
    remove();
  }
});
