// A token by PKCS#11, through pkcs11-tool of OpenSC, so that no compiler is needed and a module that fails takes only that down.

import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Host, printable } from '../../../core/sdk/typescript/index.ts';
import type { Signer } from './certificate.ts';
import { LoginError } from './errors.ts';

const program = 'pkcs11-tool';
const deadlineMs = 60_000;
const pinVariable = 'MUSTER_PKCS11_PIN';

export interface TokenPlace {
  /** Library of the token's maker. */
  readonly module: string;
  readonly slot?: string | undefined;
  /** Hex, of certificate and key; the only certificate if there is one. */
  readonly keyId?: string | undefined;
}

export class Pkcs11Token implements Signer {
  readonly certificate: string;
  readonly #host: Host;
  readonly #place: TokenPlace;
  readonly #id: string;
  readonly #pin: string;
  readonly #publicKey: KeyObject;

  private constructor(host: Host, place: TokenPlace, id: string, pin: string, x509: X509Certificate) {
    [this.#host, this.#place, this.#id, this.#pin] = [host, place, id, pin];
    this.certificate = x509.toString();
    this.#publicKey = x509.publicKey;
  }

  /** Asks for the PIN. @throws LoginError `LOGIN_CREDENTIAL` */
  static async open(host: Host, place: TokenPlace): Promise<Pkcs11Token> {
    const id = place.keyId ?? (await onlyCertificate(host, place));
    const bytes = await inFolder(async (folder) => {
      const out = join(folder, 'certificate.der');
      await run(host, place, ['--read-object', '--type', 'cert', '--id', id, '--output-file', out]);
      return readFileSync(out);
    });
    return new Pkcs11Token(host, place, id, await askedPin(host), new X509Certificate(bytes));
  }

  async sign(text: string): Promise<string> {
    return inFolder(async (folder) => {
      const [given, out] = [join(folder, 'given'), join(folder, 'signature')];
      const { mechanism, input } = this.#mechanism(Buffer.from(text));
      writeFileSync(given, input, { mode: 0o600 });
      const args = ['--login', '--pin', `env:${pinVariable}`, '--sign', '--id', this.#id, '--mechanism', mechanism];
      await run(this.#host, this.#place, [...args, '--input-file', given, '--output-file', out], { [pinVariable]: this.#pin });
      return readFileSync(out).toString('base64');
    });
  }

  /** Tokens hash for RSA; for curves many sign a hash only. */
  #mechanism(text: Buffer): { mechanism: string; input: Buffer } {
    switch (this.#publicKey.asymmetricKeyType) {
      case 'rsa':
        return { mechanism: 'SHA256-RSA-PKCS', input: text };
      case 'ec':
        return { mechanism: 'ECDSA', input: createHash('sha256').update(text).digest() };
      default:
        throw new LoginError('LOGIN_CREDENTIAL', 'the key on the token is neither RSA nor of an elliptic curve');
    }
  }
}

async function onlyCertificate(host: Host, place: TokenPlace): Promise<string> {
  const listed = await run(host, place, ['--list-objects', '--type', 'cert']);
  const ids = [...listed.matchAll(/^\s*ID:\s*([0-9a-f]+)\s*$/gim)].map(([, id = '']) => id).sort();
  const [id] = ids;
  if (id !== undefined && ids.length === 1) return id;
  throw new LoginError(
    'LOGIN_CREDENTIAL',
    ids.length === 0
      ? 'the token holds no certificate'
      : `the token holds several certificates; name one with --key-id: ${ids.join(', ')}`,
  );
}

async function run(
  host: Host,
  { module, slot }: TokenPlace,
  args: readonly string[],
  secrets: Readonly<Record<string, string>> = {},
): Promise<string> {
  const command = [program, '--module', module, ...(slot === undefined ? [] : ['--slot', slot]), ...args];
  const own = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const env = { ...Object.fromEntries(own), ...secrets };
  const ended = await host.processes.run({ command, env }, { deadlineMs }).catch((error: Error) => {
    throw new LoginError('LOGIN_CREDENTIAL', `${program} of OpenSC can not be run; install opensc: ${error.message}`, {
      cause: error,
    });
  });
  if (ended.exitCode === 0) return ended.stdout;
  throw new LoginError('LOGIN_CREDENTIAL', `the token refused: ${reasonIn(ended.stderr)}`);
}

function reasonIn(stderr: string): string {
  if (stderr.includes('CKR_PIN_INCORRECT')) return 'the PIN is wrong';
  if (stderr.includes('CKR_PIN_LOCKED')) return 'it is locked after too many wrong PINs';
  const line = stderr.split('\n').find((text) => text.startsWith('error:')) ?? stderr.trim().split('\n').at(-1) ?? '';
  return printable(line.replace(/^error: */, '')).slice(0, 200);
}

/** Of a person, or the first line of what is piped in. */
async function askedPin(host: Host): Promise<string> {
  const { interactive, piped } = await host.terminal.info();
  const pin = interactive
    ? await host.terminal.prompt('PIN of the token: ', { secret: true })
    : piped
      ? ((await host.terminal.read({ limitBytes: 4_096 })).split(/\r?\n/)[0] ?? '')
      : '';
  if (pin !== '') return pin;
  throw new LoginError('LOGIN_CREDENTIAL', 'the token needs a PIN; type it on a terminal, or pipe it in');
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-login-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
