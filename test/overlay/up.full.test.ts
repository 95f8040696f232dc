// `overlay up` as it stays up, and each command that it prints.

import { expect, test } from 'vitest';
import { freePort, until } from '../support/folders.ts';
import { ended, Overlay, shell } from '../support/overlay.ts';

test('overlay up stays up, and what it prints works as printed; Ctrl-C ends everything', async () => {
  await using overlay = new Overlay();
  const port = await freePort();
  const second = overlay.up('--no-show', '--port', String(port));
  await until('it invites', () => second.text().includes('Logs, audit logs'), 150_000);
  const commands = second
    .text()
    .split('\n')
    .filter((line) => line.startsWith('  /') || line.startsWith("  '"));
  expect(commands.length).toBeGreaterThanOrEqual(8);
  for (const command of commands) {
    if (command.includes('req greeter'))
      await until('every node has the agent', async () => (await shell(command)).out.includes('5 / 5 hosts'));
    const { code, out } = await shell(command);
    expect([command, code, out]).toEqual([command, 0, expect.stringMatching(/\S/)]);
  }
  const again = overlay.up('--exit', '--port', String(port));
  expect(await ended(again)).toBe(1);
  expect(again.text()).toContain('an overlay is already up with the state folder');
  second.child.kill('SIGINT');
  expect(await ended(second)).toBe(0);
  await until('nothing of it is left', async () => {
    const left = await shell(`pgrep -fa '${overlay.folder}' | grep -v pgrep || true`);
    return left.out.trim() === '';
  });
});
