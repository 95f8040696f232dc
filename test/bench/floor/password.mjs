// The least that a login can do: a password held against its hash, 64 under way.

import { verify } from '@node-rs/argon2';

const [count, hash, password] = process.argv.slice(2);
let next = 0;
const worker = async () => {
  while (next < Number(count)) {
    next += 1;
    if (!(await verify(hash, password))) throw new Error('the password is wrong');
  }
};
const begun = performance.now();
await Promise.all(Array.from({ length: 64 }, worker));
process.stdout.write(JSON.stringify({ seconds: (performance.now() - begun) / 1000 }));
