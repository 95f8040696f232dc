// Lists of revoked certificates, read.

import * as der from './der.ts';

/** Serial numbers in upper-case hex, of a list in DER or of all lists in PEM. @throws PkiError */
export function revokedSerials(file: Buffer): string[] {
  const blocks = file.toString('latin1').match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----/g);
  return (blocks?.map((block) => der.fromPem(block, 'X509 CRL')) ?? [file]).flatMap(serialsOf);
}

function serialsOf(list: Buffer): string[] {
  const parts = der.partsOf(der.partsOf(der.decode(list))[0]);
  // The only list of lists that begin with a number; everything else in here is a name, a time, or tagged.
  const entries = parts.slice(1).find((node) => Array.isArray(node.value) && isEntry(node.value[0]));
  return entries ? der.partsOf(entries).map((entry) => serialOf(der.partsOf(entry)[0])) : [];
}

function isEntry(node: der.Node | undefined): boolean {
  if (!node || typeof node.value === 'string') return false;
  const [first] = node.value;
  return der.isInteger(first);
}

function serialOf(node: der.Node | undefined): string {
  return der
    .bytesOf(node)
    .toString('hex')
    .toUpperCase()
    .replace(/^(00)+(?=.)/, '');
}
