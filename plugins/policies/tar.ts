// One file out of the bundle that the compiler writes: a gzipped tar.

import { gunzipSync } from 'node:zlib';

const blockBytes = 512;

/** The contents of a file by its name; undefined if it is not in there. @throws Error for what is no such archive */
export function fileInTar(archive: Uint8Array, name: string, maxBytes: number): Uint8Array | undefined {
  const tar = gunzipSync(archive, { maxOutputLength: maxBytes });
  for (let at = 0; at + blockBytes <= tar.length; ) {
    const header = tar.subarray(at, at + blockBytes);
    const found = textIn(header, 0, 100).replace(/^\/+/, '');
    if (found === '') return undefined;
    const size = Number.parseInt(textIn(header, 124, 12), 8);
    if (!Number.isInteger(size) || size < 0) throw new Error('the archive is damaged');
    const start = at + blockBytes;
    if (found === name) return tar.subarray(start, start + size);
    at = start + Math.ceil(size / blockBytes) * blockBytes;
  }
  return undefined;
}

function textIn(header: Uint8Array, at: number, length: number): string {
  const [text = ''] = Buffer.from(header.subarray(at, at + length))
    .toString('latin1')
    .split('\0');
  return text.trim();
}
