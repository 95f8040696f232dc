// What a program wrote, as text that fits in a reply. Offsets count bytes, so that they mean the same whatever the text is.

/** Characters of one stream in a reply, as JSON has them. Both streams, escaped and in base64, stay below a broker's 1 MiB. */
export const roomForText = 160 * 1024;

export interface Chunk {
  readonly text: string;
  /** Bytes of the input that the text stands for. */
  readonly bytes: number;
}

/** The beginning of some bytes. A character that is not yet whole waits for its rest unless nothing follows. */
export function chunkOf(bytes: Uint8Array, { isLast, room }: { readonly isLast: boolean; readonly room: number }): Chunk {
  let end = isLast ? bytes.length : wholeCharacters(bytes);
  let text = decode(bytes.subarray(0, end));
  while (JSON.stringify(text).length > room) {
    end = wholeCharacters(bytes.subarray(0, Math.ceil(end / 2)));
    text = decode(bytes.subarray(0, end));
  }
  return { text, bytes: end };
}

/** The end of some bytes, with a word about what was left out before it. */
export function tailOf(bytes: Uint8Array, room: number): string {
  let start = 0;
  let text = decode(bytes);
  while (JSON.stringify(text).length > room) {
    start += Math.ceil((bytes.length - start) / 2);
    text = decode(bytes.subarray(start));
  }
  return start === 0 ? text : `[${start} bytes left out]\n${text}`;
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** Where the last whole character ends; bytes that can't become one count as whole. */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needed > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
