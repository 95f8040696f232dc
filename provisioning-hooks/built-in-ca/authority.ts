// The certificate authority itself: what it issues and revokes, and its lists.

import { X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Issuer, makeCertificate, makeRevocationList, randomSerial } from '../../plugins/wire/pki/certificate.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import type { Approved } from '../../plugins/wire/provisioning/policy.ts';
import { writeWhole } from '../../plugins/wire/whole-file.ts';
import {
  backdateMs,
  hasIntermediate,
  type Intermediate,
  isComplete,
  loadIntermediates,
  loadIssuer,
  makeIntermediate,
  makeRoot,
} from './issuers.ts';
import { whileLocked } from './lock.ts';
import { type Entry, Register } from './register.ts';

export interface AuthorityOptions {
  readonly folder: string;
  /** Name of the authority, in the subject of its certificates. */
  readonly name: string;
  /** Milliseconds that certificates of nodes are valid. */
  readonly validityMs: number;
  /** How many intermediates there have to be, one after the other; a higher number makes the next. */
  readonly generation?: number;
}

const dayMs = 86_400_000;
/** Where certificates last longer than an intermediate has left, a new one is made only once it is this old. */
const leastAgeMs = 365 * dayMs;
const mostGenerations = 1_000;
/** A list is made anew when half of its time is over. */
const listMs = 30 * dayMs;
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
  /** File with the lists of all. */
  readonly listFile: string;
  readonly #options: AuthorityOptions;
  readonly #root: Issuer;
  readonly #rootPem: string;
  readonly #register: Register;
  #intermediates: readonly Intermediate[];
  #rotating: Promise<void> | undefined;
  #listedAt: number;

  private constructor(options: AuthorityOptions) {
    const { folder } = options;
    this.#options = options;
    this.listFile = join(folder, 'crl.pem');
    this.#root = loadIssuer(folder, 'root');
    this.#rootPem = readFileSync(join(folder, 'root.pem'), 'utf8');
    this.#intermediates = loadIntermediates(folder);
    this.#register = new Register(folder);
    this.#listedAt = existsSync(this.listFile) ? statSync(this.listFile).mtimeMs : 0;
  }

  /** Opens the authority in a folder, or makes it there. @throws HookError */
  static async open(options: AuthorityOptions): Promise<Authority> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    if (!isComplete(options.folder))
      await whileLocked(options.folder, async () => {
        if (isComplete(options.folder)) return;
        chmodSync(options.folder, 0o700);
        await makeRoot(options.folder, options.name);
        await makeIntermediate(options.folder, options.name, 1);
      });
    const authority = new Authority(options);
    const { generation = 1 } = options;
    if (generation > mostGenerations)
      throw new HookError(
        'HOOK_CONFIG',
        `plugin.muster.ca.generation is ${generation}; it counts intermediates, and is ${mostGenerations} at most`,
      );
    if (authority.#current.generation < generation) await authority.#rotate(generation);
    if (authority.#listedAt === 0) await whileLocked(options.folder, () => authority.#publish());
    return authority;
  }

  /** PEM: the root, then the intermediates that count, the one that signs last. */
  get ca(): string {
    return this.#rootPem + this.#intermediates.map(({ pem }) => pem).join('');
  }

  get #current(): Intermediate {
    const current = this.#intermediates.at(-1);
    if (!current) throw new HookError('HOOK_CONFIG', `there is no intermediate in ${this.#options.folder}`);
    return current;
  }

  /** A certificate and the intermediate after it, as PEM. It is in the register before anybody has it. */
  async issue({ identity, request, names }: Approved): Promise<string> {
    const now = Date.now();
    if (this.#isEnding(now)) await this.#rotate(this.#current.generation + 1);
    const { issuer, pem, end } = this.#current;
    const notAfter = new Date(Math.min(now + this.#options.validityMs, end.getTime()));
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
      issuer,
    );
    const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '');
    const time = new Date(now).toISOString();
    await this.#register.add({ event: 'issued', time, serial, identity, names, notAfter: notAfter.toISOString(), fingerprint });
    if (now - this.#listedAt > listMs / 2) await whileLocked(this.#options.folder, () => this.#publish());
    return certificate + pem;
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

  /** Whether certificates would have to end before their time, and a new intermediate would help. */
  #isEnding(now: number): boolean {
    const { begin, end } = this.#current;
    return end.getTime() - now < this.#options.validityMs && now - begin.getTime() > leastAgeMs;
  }

  /** Has this generation sign from now on. Another process may have made it. */
  async #rotate(generation: number): Promise<void> {
    const { folder, name } = this.#options;
    this.#rotating ??= whileLocked(folder, async () => {
      for (let next = this.#current.generation + 1; next <= generation; next += 1)
        if (!hasIntermediate(folder, next)) await makeIntermediate(folder, name, next);
      this.#intermediates = loadIntermediates(folder);
      this.#publish();
    }).finally(() => {
      this.#rotating = undefined;
    });
    await this.#rotating;
  }

  /** Writes the lists of all certificates; for those who hold the lock. Serials are random, so each list may name them all. */
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
      ...this.#intermediates.toReversed().map(({ issuer }) => makeRevocationList({ ...times, revoked }, issuer)),
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
