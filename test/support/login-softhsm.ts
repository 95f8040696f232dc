// A token that holds a key and never gives it away: SoftHSM, used through OpenSC's pkcs11-tool.

import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { type Authority, certify } from '../../plugins/overlay/ca.ts';
import { provided } from './login-debian.ts';

export const pin = '271828';

export class SoftToken {
  readonly module: string;
  readonly slot: string;
  /** For whoever uses the token. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #tool: string;

  private constructor(folder: string, module: string, slot: string, tool: string, env: Readonly<Record<string, string>>) {
    [this.#folder, this.module, this.slot, this.#tool, this.env] = [folder, module, slot, tool, env];
  }

  static async make(folder: string): Promise<SoftToken> {
    const { programs, tree, env } = await provided('softhsm');
    const [util = '', tool = ''] = programs;
    const module = `${tree ?? ''}/usr/lib/softhsm/libsofthsm2.so`;
    mkdirSync(join(folder, 'tokens'));
    writeFileSync(join(folder, 'softhsm2.conf'), `directories.tokendir = ${folder}/tokens\nobjectstore.backend = file\n`);
    const own = {
      ...env,
      SOFTHSM2_CONF: join(folder, 'softhsm2.conf'),
      PATH: `${dirname(tool)}${delimiter}${process.env.PATH ?? ''}`,
    };
    const options = { env: { ...process.env, ...own }, encoding: 'utf8' as const };
    execFileSync(
      util,
      ['--module', module, '--init-token', '--free', '--label', 'muster', '--pin', pin, '--so-pin', '314159'],
      options,
    );
    const listed = execFileSync(tool, ['--module', module, '--list-token-slots'], options);
    const [, slot = ''] = /\((0x[0-9a-f]+)\)/.exec(listed) ?? [];
    return new SoftToken(folder, module, slot, tool, own);
  }

  /** Makes a key on the token, and puts a certificate for it there. */
  addCertificate(id: string, type: 'rsa:2048' | 'EC:prime256v1', authority: Authority, commonName: string): void {
    const file = (name: string) => join(this.#folder, `${name}-${id}`);
    this.#run(['--keypairgen', '--key-type', type, '--id', id]);
    this.#run(['--read-object', '--type', 'pubkey', '--id', id, '--output-file', file('public')]);
    const publicKey = createPublicKey({ key: readFileSync(file('public')), format: 'der', type: 'spki' });
    const certificate = certify(authority, publicKey, { commonName, serverAuth: false });
    writeFileSync(file('certificate'), new X509Certificate(certificate).raw);
    this.#run(['--write-object', file('certificate'), '--type', 'cert', '--id', id]);
  }

  #run(args: readonly string[]): void {
    const place = ['--module', this.module, '--slot', this.slot, '--login', '--pin', pin];
    execFileSync(this.#tool, [...place, ...args], { env: { ...process.env, ...this.env }, stdio: 'pipe' });
  }
}
