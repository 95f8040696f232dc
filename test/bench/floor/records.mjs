// The least that an auditor can do without thinking: each record written and on the disk before the next, on a slow disk.

import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const [file, count, bytes, delayMs] = process.argv.slice(2);
const line = `${'x'.repeat(Number(bytes) - 1)}\n`;
const handle = await open(file, 'a');
const begun = performance.now();
for (let index = 0; index < Number(count); index += 1) {
  await handle.write(line);
  await sleep(Number(delayMs));
  await handle.datasync();
}
process.stdout.write(JSON.stringify({ seconds: (performance.now() - begun) / 1000 }));
await handle.close();
