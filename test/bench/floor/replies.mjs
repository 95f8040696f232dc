// The least that a client can do with replies: the envelopes opened, the hash verified, the body decoded, one value counted.

import { createHash } from 'node:crypto';

/** Values of an output, counted. */
export function countReplies(payloads, output) {
  const counts = new Map();
  for (const payload of payloads) {
    const transport = JSON.parse(Buffer.from(payload).toString());
    const secure = JSON.parse(Buffer.from(transport.data, 'base64').toString());
    if (createHash('sha256').update(secure.message).digest('base64') !== secure.hash) throw new Error('altered');
    const { data } = JSON.parse(JSON.parse(secure.message).message);
    counts.set(data[output], (counts.get(data[output]) ?? 0) + 1);
  }
  return counts;
}
