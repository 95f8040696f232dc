// Nodes that ask for certificates, and the openssl program as a second opinion on what they get.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authority, certify } from '../../plugins/overlay/ca.ts';
import { type Issuer, makeCertificate, randomSerial } from '../../plugins/wire/pki/certificate.ts';
import type { Subject } from '../../plugins/wire/pki/names.ts';
import { makeRequest, readRequest } from '../../plugins/wire/pki/request.ts';
import type { ProvisionReply, ProvisionRequest } from '../../plugins/wire/provisioning/reply.ts';
import type { TestHost } from './hosts.ts';
import { root } from './languages.ts';

export interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export type Signed = Required<Pick<ProvisionReply, 'certificate' | 'ca'>> & ProvisionReply;

export const rsaKeys = (): Keys => generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ecKeys = (): Keys => generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const ed25519Keys = (): Keys => generateKeyPairSync('ed25519');

export interface Asking {
  readonly identity: string;
  readonly keys: Keys;
  readonly subject?: Subject;
  readonly names?: readonly string[];
}

/** What a provisioner hands to a hook. */
export function asking({ identity, keys, subject = {}, names = [] }: Asking): ProvisionRequest {
  return {
    identity,
    csr: { csr: makeRequest({ subject: { CN: identity, ...subject }, names, ...keys }), ssldir: '/etc/choria/ssl' },
    ed25519_pubkey: null,
    inventory: '{"version":"0.29.4"}',
    jwt: null,
  };
}

export async function provision(host: TestHost, hook: string, request: ProvisionRequest): Promise<ProvisionReply> {
  return (await host.host.call(
    'provisioning-hook',
    hook,
    'hook/provision',
    { ...request },
    { deadlineMs: 20_000 },
  )) as ProvisionReply;
}

/** @throws Error if it gave no certificate */
export async function sign(host: TestHost, hook: string, request: ProvisionRequest): Promise<Signed> {
  const reply = await provision(host, hook, request);
  if (!reply.certificate || !reply.ca) throw new Error(`${hook} gave no certificate: ${JSON.stringify(reply)}`);
  return { ...reply, certificate: reply.certificate, ca: reply.ca };
}

/** A certificate for a request, by an authority of test/support/fleet. */
export function signFor(
  authority: Authority,
  csr: string,
  name: string,
  { days = 30, publicKey = readRequest(csr).publicKey }: { readonly days?: number; readonly publicKey?: KeyObject } = {},
): { certificate: string; ca: string } {
  return { certificate: certify(authority, publicKey, { commonName: name, days }), ca: authority.certificate };
}

/** Output of openssl; it has to succeed. */
export function openssl(args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync('openssl', [...args], { input, encoding: 'utf8' });
  if (error) throw new Error('this test needs openssl: apt-get install openssl', { cause: error });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** What `openssl verify` says of a certificate, with all that it says against it. */
export function verdictOf(
  folder: string,
  { certificate, ca }: Pick<Signed, 'certificate' | 'ca'>,
  ...flags: readonly string[]
): string {
  const [chain, trusted] = [join(folder, 'chain.pem'), join(folder, 'trusted.pem')];
  writeFileSync(chain, certificate);
  writeFileSync(trusted, ca);
  const { stdout, stderr } = spawnSync('openssl', ['verify', ...flags, '-CAfile', trusted, '-untrusted', chain, chain], {
    encoding: 'utf8',
  });
  return `${stdout}${stderr}`.trim().replace(`${chain}: `, '');
}

export type GoProgram = 'cfssl' | 'step-ca' | 'nats-server' | 'opa';

/** A program that is built from the Go module proxy. @throws Error that says what is missing */
export async function goProgram(name: GoProgram): Promise<string> {
  const { provideGoProgram } = (await import(join(root, 'core/setup/tools.mjs'))) as {
    provideGoProgram: (root: string, name: GoProgram, log: (line: string) => void) => string | undefined;
  };
  const path = provideGoProgram(root, name, (line) => process.stderr.write(`${line}\n`));
  if (path === undefined) throw new Error(`this test needs ${name}: install it, or Go and a way to a Go module proxy`);
  return path;
}

/** A server for the time of a test. */
export class Served {
  readonly #child: ChildProcess;
  readonly output: string[] = [];

  constructor(command: string, args: readonly string[], cwd: string) {
    if (!existsSync(cwd)) mkdirSync(cwd);
    this.#child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, HOME: cwd } });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => void this.output.push(chunk.toString()));
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/** A root and an intermediate for signers that bring none: `root.pem`, `intermediate.pem`, their keys, and both in `ca.pem`. */
export function makeAuthorityFiles(folder: string): void {
  const [root, intermediate] = ['Peer Root CA', 'Peer CA'].map((name): Issuer => ({ subject: { CN: name }, ...ecKeys() }));
  if (!root || !intermediate) throw new Error('two names make two authorities');
  const pemOf = (of: Issuer, pathLength: number) =>
    makeCertificate(
      {
        serial: randomSerial(),
        subject: of.subject,
        publicKey: of.publicKey,
        notBefore: new Date(Date.now() - 3_600_000),
        notAfter: new Date(Date.now() + 365 * 86_400_000),
        usages: ['keyCertSign', 'cRLSign'],
        authority: { pathLength },
      },
      root,
    );
  const pems = { root: pemOf(root, 1), intermediate: pemOf(intermediate, 0) };
  for (const [name, { privateKey }] of Object.entries({ root, intermediate }))
    writeFileSync(join(folder, `${name}.key`), privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 });
  for (const [name, pem] of Object.entries({ ...pems, ca: pems.root + pems.intermediate }))
    writeFileSync(join(folder, `${name}.pem`), pem);
}
