// Certificates of the overlay's own authority.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { temporaryFolder } from '../support/folders.ts';

test('a certificate bears the names that were asked for, belongs to its authority, and is kept while it is good', async () => {
  const { path, remove } = temporaryFolder();
  const authority = await openAuthority(path, 'Test CA');
  const files = await issueFiles(authority, { commonName: 'n1.test', names: ['n1.test', '127.0.0.1'] });
  const certificate = new X509Certificate(readFileSync(files.cert));
  expect(certificate.subjectAltName).toBe('DNS:n1.test, IP Address:127.0.0.1');
  expect(certificate.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true);
  await issueFiles(authority, { commonName: 'n1.test' });
  expect(new X509Certificate(readFileSync(files.cert)).serialNumber).toBe(certificate.serialNumber);
  remove();
});
