// What the listener of the AAA service keeps in memory for calls that wait for their answers.

import { expect, test } from 'vitest';
import { HttpListener } from '../../plugins/aaa/http.ts';
import { freePort, until } from '../support/folders.ts';
import { send } from '../support/signer-service.ts';

test('calls that wait for their answers count as long as they hold what was sent', async () => {
  const port = await freePort();
  let answer: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const handle = async () => {
    await answered;
    return { status: 200, body: {} };
  };
  const listener = new HttpListener({
    port,
    address: '127.0.0.1',
    routes: [{ method: 'POST', path: '/wait', handle }],
    mostConnections: 1_000,
    onTrouble: () => undefined,
  });
  await listener.start();
  const body = JSON.stringify({ x: 'y'.repeat(1_900_000) });
  const post = () => send(port, '/wait', body, { 'content-type': 'application/json' }, 'POST');
  try {
    const calls: Promise<number>[] = [];
    let refused = 0;
    for (let n = 0; n < 150; n += 1) {
      const call = post().then(({ status }) => {
        if (status === 503) refused += 1;
        return status;
      });
      calls.push(call.catch(() => 0));
      // A few at a time, so that it is not what is being read that is too much.
      if (n % 10 === 9) await Promise.race([calls[n - 9], new Promise((resolve) => setImmediate(resolve))]);
    }
    await until('one is too much', () => refused > 0);
    answer();
    const statuses = await Promise.all(calls);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(100);
    expect((await post()).status).toBe(200);
  } finally {
    answer();
    await listener.stop();
  }
});
