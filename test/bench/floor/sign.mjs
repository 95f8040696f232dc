// The least that a signer can do: signatures with an RSA key of 2,048 bits, 64 under way, over text as long as a request.

import { generateKeyPairSync, sign } from 'node:crypto';

const [count, bytes] = process.argv.slice(2).map(Number);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const text = Buffer.alloc(bytes, 'x');
let next = 0;

const worker = async () => {
  while (next < count) {
    next += 1;
    await new Promise((resolve, reject) => sign('sha256', text, privateKey, (error) => (error ? reject(error) : resolve())));
  }
};
const begun = performance.now();
await Promise.all(Array.from({ length: 64 }, worker));
process.stdout.write(JSON.stringify({ seconds: (performance.now() - begun) / 1000 }));
