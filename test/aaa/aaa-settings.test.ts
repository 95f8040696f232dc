// The configuration of the AAA service is looked at whole before it starts.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { AaaSettingsError, readAaaSettings } from '../../plugins/wire/aaa/settings.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';
import { type ServiceOptions, SignerService } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
let authority: Authority;
beforeAll(async () => {
  authority = await openAuthority(join(folder, 'ca'), 'Test CA');
});
afterAll(() => remove());

const hex = publicHex(generateKeyPairSync('ed25519').publicKey);
const good = {
  port: 8443,
  disable_tls: true,
  signer: 'basicjwt',
  authorizer: 'actionlist',
  auditors: ['logfile'],
  logfile_auditor: { logfile: join(folder, 'audit.log') },
  basicjwt_signer: { signing_certificate: hex, max_validity: '1h30m' },
};

function problemsOf(settings: unknown): readonly string[] {
  const file = join(folder, 'aaa.json');
  writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings));
  try {
    readAaaSettings(file);
    return [];
  } catch (error) {
    if (!(error instanceof AaaSettingsError)) throw error;
    return error.problems.map((problem) => problem.replace(`${file}: `, ''));
  }
}

test('a good file has no problem', () => {
  expect(problemsOf(good)).toEqual([]);
});

describe('a file is refused', () => {
  const { basicjwt_signer: signer } = good;
  test.each([
    ['whose port is a string', { ...good, port: '8443' }, 'port is a string; write it as a number, without quotes'],
    [
      'without TLS',
      { ...good, disable_tls: false },
      'tls_certificate is not set; port needs it, or disable_tls if something else has TLS',
    ],
    [
      'without an authorizer',
      { ...good, authorizer: undefined },
      'signer needs an authorizer, such as actionlist or opa; without one nobody decides',
    ],
    [
      'without max_validity',
      { ...good, basicjwt_signer: { signing_certificate: hex } },
      "basicjwt_signer must have required property 'max_validity'",
    ],
    [
      'with days in a duration',
      { ...good, basicjwt_signer: { ...signer, max_validity: 'soon' } },
      "basicjwt_signer.max_validity: 'soon' is no duration such as 2h or 1h30m",
    ],
    [
      'without a key for tokens',
      { ...good, basicjwt_signer: { max_validity: '1h' } },
      'basicjwt_signer.signing_certificate is not set; tokens of users are verified with it',
    ],
    [
      'with a key that is not there',
      { ...good, basicjwt_signer: { ...signer, signing_certificate: '/none' } },
      'basicjwt_signer.signing_certificate: there is no file /none, and it is no key of 64 hex digits either',
    ],
    [
      'that nobody reaches',
      { ...good, port: 0 },
      'signer needs port, or choria_service in basicjwt_signer; otherwise nobody can reach it',
    ],
    [
      'with an authenticator that was removed',
      { ...good, authenticator: 'okta' },
      'authenticator: the authenticator okta was removed from Choria; use oidc, and its groups',
    ],
    ['that is an object of nothing', {}, 'neither authenticator nor signer is set, so that there is nothing to do'],
    [
      'with a network that is none',
      { ...good, allowed_clients: ['10.0.0.0/33'] },
      "allowed_clients: '10.0.0.0/33' is no network such as 192.0.2.0/24 or 2001:db8::/32",
    ],
    [
      'with half a delegator',
      { ...good, basicjwt_signer: { ...signer, signing_seed: join(folder, 'aaa.json') } },
      'basicjwt_signer.signing_seed and basicjwt_signer.signing_token belong together: seed and token of the delegator',
    ],
  ])('%s', (_what, settings, problem) => {
    expect(problemsOf(settings)).toContain(problem);
  });

  test('that is not JSON, without a piece of it', () => {
    expect(problemsOf('{"password": "s3cret" "x"}')).toEqual([expect.stringMatching(/is not JSON; look at position \d+/)]);
  });

  test('with every problem at once', () => {
    expect(problemsOf({ signer: 'basicjwt', port: '1', monitor_port: 'x', site: 5, auditors: 'logfile' })).toEqual([
      'site must be string',
      'auditors must be array,null',
      'port is a string; write it as a number, without quotes',
      'monitor_port is a string; write it as a number, without quotes',
      'tls_certificate is not set; port needs it, or disable_tls if something else has TLS',
      'tls_key is not set; port needs it, or disable_tls if something else has TLS',
      'signer needs an authorizer, such as actionlist or opa; without one nobody decides',
      'basicjwt_signer is not set; the signer needs its signing_certificate and max_validity',
    ]);
    expect(problemsOf({ signer: 'basicjwt', port: 1, monitor_port: 1, tls_ca: '/none' })).toHaveLength(6);
  });
});

describe('a service does not start', () => {
  async function failure(options: ServiceOptions): Promise<string> {
    const service = await SignerService.start(authority, { ...options, start: false });
    const { startHost } = await import('../support/hosts.ts');
    try {
      const host = await startHost(await service.configure(authority, options));
      await host.stop();
      return 'it started';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await service.stop();
    }
  }

  test('with a certificate that may not sign for others, and tells of all else that is wrong', async () => {
    const message = await failure({ certificate: 'aaa.test', settings: { auditors: ['logfil', 'chain'], authorizer: 'acl' } });
    expect(message).toContain('4 problems:');
    expect(message).toContain('there is no auditor logfil; there are chain, jetstream, logfile');
    expect(message).toMatch(/auditor chain: .* has no chain_auditor, which this auditor needs/);
    expect(message).toContain('there is no authorizer acl; there are');
    expect(message).toMatch(
      /aaa\.test may not sign for others; it needs a name that fits plugin\.choria\.security\.privileged_users/,
    );
  });

  test('with parts of its file that do not fit their schema, and tells of the others as well', async () => {
    const [one, other] = await Promise.all(['one.test', 'other.test'].map((commonName) => issueFiles(authority, { commonName })));
    const service = await SignerService.start(authority, { start: false });
    try {
      const { config = {} } = await service.configure(authority, {
        settings: {
          port: '8443',
          disable_tls: false,
          tls_certificate: one?.cert,
          tls_key: other?.key,
          authorizer: 'acl',
          allowed_clients: ['10.0.0.0/33'],
        },
        signer: { signing_certificate: '/none/tokens.public' },
      });
      const ran = await runMuster(['run', 'aaa', '--config', writeConfig(service.folder, 'aaa.conf', config)]);
      expect(ran.code).toBe(1);
      expect(ran.err).toContain('5 problems:');
      expect(ran.err).toContain('port is a string; write it as a number, without quotes');
      expect(ran.err).toContain("allowed_clients: '10.0.0.0/33' is no network");
      expect(ran.err).toContain('basicjwt_signer.signing_certificate: there is no file /none/tokens.public');
      expect(ran.err).toContain('there is no authorizer acl; there are');
      expect(ran.err).toContain(`tls_key: ${other?.key} is not the key of the certificate ${one?.cert}`);
    } finally {
      await service.stop();
    }
  });

  test('with several things wrong in its logins', async () => {
    const message = await failure({
      settings: {
        authenticator: ['userlist', 'certificate'],
        tls_certificate: 5,
        login: { window: 'soon', validity: '1h', signing_key: '/none/issuer.seed' },
        userlist_authenticator: { users: [], validity: 'long' },
      },
    });
    expect(message).toContain('tls_certificate must be string');
    expect(message).toMatch(/login\.window is 'soon', which is no duration/);
    expect(message).toMatch(/userlist_authenticator\.validity is 'long', which is no duration/);
    expect(message).toMatch(/tokens of the authenticator certificate can not be signed: .*\/none\/issuer\.seed/);
  });

  test("with the issuer's key in place of the organization's", async () => {
    const { privateKey: issuer, publicKey } = generateKeyPairSync('ed25519');
    const token = await makeClientToken(
      { callerid: 'up=issuer', publicKey: publicHex(publicKey), validitySeconds: 600 },
      { key: { algorithm: 'EdDSA', key: issuer } },
    );
    const [head = '', body = '', signature = ''] = token.split('.');
    const claims = { ...JSON.parse(Buffer.from(body, 'base64url').toString()), iss: 'I-x.y', tcs: '00' };
    const file = join(folder, 'issuer.jwt');
    writeFileSync(file, [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.'));
    const settings = { userlist_authenticator: { signing_token: file } };
    expect(await failure({ settings, signer: { signing_certificate: publicHex(publicKey) } })).toMatch(
      /is not signed by a key of basicjwt_signer\.signing_certificate .*; name the organization's public key there/,
    );
  });
});
