import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authority, issue, issuerOf, openAuthority } from '../../plugins/overlay/ca.ts';
import { signWithCertificate } from '../../plugins/wire/aaa/certificate-proof.ts';
import { type CertificatePlan, makeCertificate, makeRevocationList, randomSerial } from '../../plugins/wire/pki/certificate.ts';
import { temporaryFolder } from '../support/folders.ts';
import { type Answer, LoginKey, LoginService } from '../support/login-service.ts';

const failed = { error: 'Login failed' };
const hour = 3_600_000;

interface Own {
  readonly certificate: string;
  readonly key: KeyObject;
}

describe('a login by certificate', () => {
  let service: LoginService;
  let authority: Authority;
  const folder = temporaryFolder();
  const lists = join(folder.path, 'crl.pem');

  beforeAll(async () => {
    authority = await openAuthority(join(folder.path, 'ca'), 'people ca');
    revoke([]);
    service = await LoginService.start((at) => {
      writeFileSync(join(at, 'seed'), '19'.repeat(32));
      return {
        authenticator: 'certificate',
        login: { failures_by_user: 1_000, failures_by_address: 1_000 },
        certificate_authenticator: {
          ca: authority.certFile,
          crl: lists,
          validity: '1h',
          signing_key: join(at, 'seed'),
          users: { anna: { agents: ['*'] } },
          groups: { ops: { agents: ['webstack.*'], tenant: 'mla' } },
        },
      };
    });
  });
  afterAll(async () => {
    await service?.stop();
    folder.remove();
  });

  function revoke(certificates: readonly string[], by = authority, nextUpdate = new Date(Date.now() + hour)): void {
    const revoked = certificates.map((pem) => ({ serial: new X509Certificate(pem).serialNumber, at: new Date(), reason: 0 }));
    const times = { thisUpdate: new Date(Date.now() - 2 * hour), nextUpdate };
    writeFileSync(lists, makeRevocationList({ number: 1, ...times, revoked }, issuerOf(by)));
  }

  function own(plan: Partial<CertificatePlan> = {}, type: 'rsa' | 'ec' | 'ed25519' | 'short' = 'ec'): Own {
    const pair =
      type === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : type === 'ed25519'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('rsa', { modulusLength: type === 'rsa' ? 2048 : 1024 });
    const times = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + hour) };
    const usual: CertificatePlan = {
      serial: randomSerial(),
      subject: { CN: 'anna' },
      publicKey: pair.publicKey,
      ...times,
      usages: ['digitalSignature'],
      extendedUsages: ['clientAuth'],
    };
    return { certificate: makeCertificate({ ...usual, ...plan }, issuerOf(authority)), key: pair.privateKey };
  }

  function logIn(
    { certificate, key }: Own,
    { username = '', text, at = 0 }: { username?: string; text?: string; at?: number } = {},
  ): Promise<Answer> {
    const token = new LoginKey();
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = signWithCertificate(text ?? `${Number(timestamp) + at}:certificate:${username}:${token.publicKey}`, key);
    const credential = JSON.stringify({ certificate, signature });
    return service.post('/muster/v1/login', {
      method: 'certificate',
      username,
      credential,
      timestamp,
      public_key: token.publicKey,
      signature: token.sign(`${timestamp}:certificate:${username}:${credential}`),
    });
  }

  it.each(['rsa', 'ec', 'ed25519'] as const)('gives its user what is his, with a key of the kind %s', async (type) => {
    const { body } = await logIn(own({}, type), { username: 'anna' });
    expect(decodeJwt(body.token ?? '')).toMatchObject({ callerid: 'cert=anna', agents: ['*'] });
  });

  it('gives others what is for their organizational unit', async () => {
    const { body } = await logIn(own({ subject: { CN: 'bob', OU: 'ops' } }));
    expect(decodeJwt(body.token ?? '')).toMatchObject({ callerid: 'cert=bob', agents: ['webstack.*'], tenant: 'mla' });
    expect((await logIn(own({ subject: { CN: 'bob', OU: 'sales' } }))).body).toEqual(failed);
  });

  it('refuses what is not a good certificate of a user, or not used by its owner', async () => {
    const stranger = await openAuthority(join(folder.path, 'other'), 'people ca');
    const foreign = await issue(stranger, { commonName: 'anna' });
    const good = own();
    const revoked = own();
    revoke([revoked.certificate]);
    const past = { notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) };
    const future = { notBefore: new Date(Date.now() + hour), notAfter: new Date(Date.now() + 2 * hour) };
    const answers = {
      'of another authority': logIn({ certificate: foreign.certificate, key: createPrivateKey(foreign.key) }),
      'with that authority beside it': logIn({
        certificate: foreign.certificate + stranger.certificate,
        key: createPrivateKey(foreign.key),
      }),
      expired: logIn(own(past)),
      'not yet valid': logIn(own(future)),
      'for servers': logIn(own({ extendedUsages: ['serverAuth'] })),
      'for anything': logIn(own({ extendedUsages: [] })),
      'not for signatures': logIn(own({ usages: ['keyEncipherment'] })),
      'of an authority': logIn(own({ authority: { pathLength: 0 } })),
      'with a short key': logIn(own({}, 'short')),
      'without a name': logIn(own({ subject: { O: 'x' } })),
      revoked: logIn(revoked),
      'of another user': logIn(good, { username: 'bob' }),
      'with the key of another': logIn({ ...good, key: own().key }),
      'for another key': logIn(good, { text: `${Math.floor(Date.now() / 1_000)}:certificate::${new LoginKey().publicKey}` }),
      'at another time': logIn(good, { at: -30 }),
      'that is none': logIn({ ...good, certificate: 'canary' }),
      'that is damaged': logIn({ ...good, certificate: good.certificate.replace('MII', 'MIA') }),
    };
    for (const [what, answer] of Object.entries(answers)) expect((await answer).body, what).toEqual(failed);
    expect((await logIn(good)).body.token).toBeDefined();
    expect(service.said).toContain('the certificate is revoked');
    expect(service.said).not.toContain('canary');
  });
  it('goes by no list of revoked certificates that is old, or of somebody else', async () => {
    const good = own();
    revoke([], authority, new Date(Date.now() - hour));
    expect((await logIn(good)).body).toEqual(failed);
    expect(service.said).toContain('is out of date');
    revoke([], await openAuthority(join(folder.path, 'stranger'), 'people ca'));
    expect((await logIn(good)).body).toEqual(failed);
    expect(service.said).toContain('none of the authorities that are trusted signed the list');
    writeFileSync(lists, 'no list');
    expect((await logIn(good)).body).toEqual(failed);
    revoke([]);
    expect((await logIn(good)).body.token).toBeDefined();
  });
});
