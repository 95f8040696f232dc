// The certificate authority itself: a root, an intermediate below it that signs, and their lists of what was revoked.

import { createPrivateKey, createPublicKey, generateKeyPair, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type Issuer,
  makeCertificate,
  makeRevocationList,
  randomSerial,
  readCertificate,
} from '../../plugins/wire/pki/certificate.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import type { Approved } from '../../plugins/wire/provisioning/policy.ts';
import { whileLocked, writeWhole } from './files.ts';
import { type Entry, Register } from './register.ts';

export interface AuthorityOptions {
  readonly folder: string;
  /** Name of the authority, in the subject of its certificates. */
  readonly name: string;
  /** Milliseconds that certificates of nodes are valid. */
  readonly validityMs: number;
}

const makeKeyPair = promisify(generateKeyPair);
const curve = 'P-256';
const dayMs = 86_400_000;
/** Clocks of other machines may be behind. */
const backdateMs = 3_600_000;
const years = { root: 20, intermediate: 10 } as const;
/** A list is made anew when half of its time is over. */
const listMs = 30 * dayMs;
const privateMode = 0o600;
const publicMode = 0o644;
/** Numbers of reasons (RFC 5280). */
const reasons: Readonly<Record<string, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
};

export class Authority {
  /** PEM: the root, then the intermediate. */
  readonly ca: string;
  /** File with the lists of both. */
  readonly listFile: string;
  readonly #options: AuthorityOptions;
  readonly #root: Issuer;
  readonly #intermediate: Issuer;
  readonly #intermediatePem: string;
  readonly #intermediateEnd: Date;
  readonly #register: Register;
  #listedAt: number;

  private constructor(options: AuthorityOptions) {
    const { folder } = options;
    this.#options = options;
    this.listFile = join(folder, 'crl.pem');
    this.#root = loadIssuer(folder, 'root');
    this.#intermediate = loadIssuer(folder, 'intermediate');
    this.#intermediatePem = readFileSync(join(folder, 'intermediate.pem'), 'utf8');
    this.#intermediateEnd = new Date(new X509Certificate(this.#intermediatePem).validTo);
    this.ca = readFileSync(join(folder, 'root.pem'), 'utf8') + this.#intermediatePem;
    this.#register = new Register(folder);
    this.#listedAt = existsSync(this.listFile) ? statSync(this.listFile).mtimeMs : 0;
  }

  /** Opens the authority in a folder, or makes it there. @throws HookError */
  static async open(options: AuthorityOptions): Promise<Authority> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    if (!isComplete(options.folder))
      await whileLocked(options.folder, async () => {
        if (!isComplete(options.folder)) await make(options);
      });
    const authority = new Authority(options);
    if (authority.#listedAt === 0) await whileLocked(options.folder, () => authority.#publish());
    return authority;
  }

  /** A certificate and the intermediate after it, as PEM. It is in the register before anybody has it. */
  async issue({ identity, request, names }: Approved): Promise<string> {
    const now = Date.now();
    const notAfter = new Date(Math.min(now + this.#options.validityMs, this.#intermediateEnd.getTime()));
    if (notAfter.getTime() <= now)
      throw new HookError('HOOK_AUTHORITY', `the certificate of the authority in ${this.#options.folder} has expired`);
    const serial = randomSerial();
    const certificate = makeCertificate(
      {
        serial,
        subject: request.subject,
        publicKey: request.publicKey,
        notBefore: new Date(now - backdateMs),
        notAfter,
        // Only RSA keys encipher other keys.
        usages: request.publicKey.asymmetricKeyType === 'rsa' ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'],
        extendedUsages: ['clientAuth', 'serverAuth'],
        names,
      },
      this.#intermediate,
    );
    const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '');
    const time = new Date(now).toISOString();
    await this.#register.add({ event: 'issued', time, serial, identity, names, notAfter: notAfter.toISOString(), fingerprint });
    if (now - this.#listedAt > listMs / 2) await whileLocked(this.#options.folder, () => this.#publish());
    return certificate + this.#intermediatePem;
  }

  /** False if it is not one of this authority's. */
  async revoke(serial: string, reason: string): Promise<boolean> {
    return whileLocked(this.#options.folder, () => {
      const entries = this.#register.read();
      const wanted = entries.filter((entry) => entry.serial === serial);
      if (!wanted.some(({ event }) => event === 'issued')) return false;
      if (!wanted.some(({ event }) => event === 'revoked'))
        this.#register.append([{ event: 'revoked', time: new Date().toISOString(), serial, reason }]);
      this.#publish();
      return true;
    });
  }

  /** Writes the lists of both certificates; for those who hold the lock. */
  #publish(): void {
    const { folder } = this.#options;
    const numberFile = join(folder, 'crl.number');
    const number = existsSync(numberFile) ? Number(readFileSync(numberFile, 'utf8')) + 1 : 1;
    // Kept first: a number may be left out, and must not come twice.
    writeWhole(numberFile, `${number}\n`, publicMode);
    const now = Date.now();
    const times = { number, thisUpdate: new Date(now), nextUpdate: new Date(now + listMs) };
    const revoked = revokedOf(this.#register.read(), now);
    const lists = [
      makeRevocationList({ ...times, revoked }, this.#intermediate),
      makeRevocationList({ ...times, revoked: [] }, this.#root),
    ];
    writeWhole(this.listFile, lists.join(''), publicMode);
    this.#listedAt = now;
  }
}

/** What was revoked and would still be valid otherwise. */
function revokedOf(entries: readonly Entry[], now: number) {
  const ends = new Map(
    entries.flatMap((entry) => (entry.event === 'issued' ? [[entry.serial, Date.parse(entry.notAfter)]] : [])),
  );
  return entries
    .filter((entry) => entry.event === 'revoked')
    .filter(({ serial }) => (ends.get(serial) ?? 0) > now)
    .map(({ serial, time, reason }) => ({ serial, at: new Date(time), reason: reasons[reason] ?? 0 }));
}

/** The certificate of the intermediate is written last. */
function isComplete(folder: string): boolean {
  return existsSync(join(folder, 'intermediate.pem'));
}

/** What a process that died in the middle left behind is made anew: nobody has seen it yet. */
async function make({ folder, name }: AuthorityOptions): Promise<void> {
  chmodSync(folder, 0o700);
  const root = await makeIssuer(folder, 'root', `${name} Root CA`);
  const intermediate = await makeIssuer(folder, 'intermediate', `${name} CA`);
  const notBefore = new Date(Date.now() - backdateMs);
  const common = { notBefore, usages: ['keyCertSign', 'cRLSign'] } as const;
  const rootPem = makeCertificate(
    {
      ...common,
      serial: randomSerial(),
      subject: root.subject,
      publicKey: root.publicKey,
      notAfter: afterYears(years.root),
      authority: { pathLength: 1 },
    },
    root,
  );
  const intermediatePem = makeCertificate(
    {
      ...common,
      serial: randomSerial(),
      subject: intermediate.subject,
      publicKey: intermediate.publicKey,
      notAfter: afterYears(years.intermediate),
      authority: { pathLength: 0 },
    },
    root,
  );
  writeWhole(join(folder, 'root.pem'), rootPem, publicMode);
  writeWhole(join(folder, 'intermediate.pem'), intermediatePem, publicMode);
}

async function makeIssuer(folder: string, file: string, commonName: string): Promise<Issuer> {
  const { publicKey, privateKey } = await makeKeyPair('ec', { namedCurve: curve });
  writeWhole(join(folder, `${file}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, privateMode);
  return { subject: { CN: commonName }, publicKey, privateKey };
}

function loadIssuer(folder: string, name: string): Issuer {
  const keyFile = join(folder, `${name}.key`);
  const certificate = readCertificate(readFileSync(join(folder, `${name}.pem`), 'utf8'));
  if ((statSync(keyFile).mode & 0o077) !== 0)
    throw new HookError('HOOK_CONFIG', `${keyFile} can be read by others; try: chmod 600 ${keyFile}`);
  const privateKey = createPrivateKey(readFileSync(keyFile, 'utf8'));
  if (!certificate.x509.checkPrivateKey(privateKey))
    throw new HookError('HOOK_CONFIG', `${keyFile} is not the key of ${name}.pem; put back the one that belongs to it`);
  return { subject: certificate.subject, publicKey: createPublicKey(privateKey), privateKey };
}

function afterYears(count: number): Date {
  const date = new Date();
  date.setUTCFullYear(date.getUTCFullYear() + count);
  return date;
}
