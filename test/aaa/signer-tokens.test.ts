// Tokens as the signer takes them: how long they may be good, who may have issued them, and what is remembered of them.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SignerNumbers } from '../../plugins/aaa/sign/numbers.ts';
import { Replays } from '../../plugins/aaa/sign/replays.ts';
import { UserTokens } from '../../plugins/aaa/sign/tokens.ts';
import { goDuration } from '../../plugins/wire/aaa/settings.ts';
import { chainIssuer } from '../../plugins/wire/tokens/chain.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import { signToken } from '../../plugins/wire/tokens/jwt.ts';
import { newKsuid } from '../../plugins/wire/tokens/ksuid.ts';

interface Lifetime {
  readonly id: string;
  readonly title: string;
  readonly now: number;
  readonly max_validity: string;
  readonly claims: object;
  readonly expect: { readonly accept: boolean };
}

const vectorFile = '../shared/reference/vectors/aaa.json';
const vectors: { readonly token_lifetime: readonly Lifetime[] } = existsSync(vectorFile)
  ? JSON.parse(readFileSync(vectorFile, 'utf8'))
  : { token_lifetime: [] };

const makeKey = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { key: { algorithm: 'EdDSA' as const, key: privateKey }, hex: publicHex(publicKey) };
};
const user = makeKey();
const org = makeKey();
const hourMs = 3_600_000;

describe.skipIf(vectors.token_lifetime.length === 0)('how long a token may be good', () => {
  test.each(vectors.token_lifetime)('$id: $title', async ({ now, max_validity, claims, expect: expected }) => {
    const all = { callerid: 'up=anna', purpose: 'choria_client_id', public_key: user.hex, ...claims };
    const tokens = new UserTokens([org.hex], goDuration(max_validity) ?? 0);
    const verified = tokens.verify(await signToken(all, org.key), now * 1000);
    if (expected.accept) expect((await verified).claims.callerid).toBe('up=anna');
    else await expect(verified).rejects.toThrow(/the token/);
  });
});

test('a token that was good is not when its time is over', async () => {
  const now = Date.now();
  const text = await makeClientToken({ callerid: 'up=anna', publicKey: user.hex, validitySeconds: 60 }, { key: org.key });
  const tokens = new UserTokens([org.hex], hourMs);
  await tokens.verify(text, now);
  await tokens.verify(text, now + 50_000);
  await expect(tokens.verify(text, now + 61_000)).rejects.toThrow('the token has expired');
  await expect(tokens.verify(text, now - 10_000)).rejects.toThrow('the token is not yet valid');
});

describe('tokens that an organization lets somebody issue', () => {
  const issuer = makeKey();
  const seconds = Math.floor(Date.now() / 1000);

  async function issuedBy(by: typeof org) {
    const jti = newKsuid(seconds);
    const token = await signToken(
      {
        callerid: 'aaa=issuer',
        ou: 'choria',
        purpose: 'choria_client_id',
        public_key: issuer.hex,
        tcs: signHex(`${jti}.${issuer.hex}`, by.key.key),
        iss: `I-${by.hex}`,
        exp: seconds + 600,
        nbf: seconds,
        iat: seconds,
        jti,
      },
      by.key,
    );
    const chain = await chainIssuer(issuer.key, token);
    return makeClientToken({ callerid: 'up=anna', publicKey: user.hex, validitySeconds: 300 }, chain);
  }

  test("are good with the organization's key", async () => {
    const { claims } = await new UserTokens([org.hex], hourMs).verify(await issuedBy(org), Date.now());
    expect(claims.callerid).toBe('up=anna');
  });

  test.each([
    ["with the issuer's own key in its place", async () => ({ keys: [issuer.hex], token: await issuedBy(org) })],
    ['that another organization lets issue', async () => ({ keys: [org.hex], token: await issuedBy(makeKey()) })],
  ])('are refused %s', async (_what, make) => {
    const { keys, token } = await make();
    await expect(new UserTokens(keys, hourMs).verify(token, Date.now())).rejects.toThrow();
  });
});

test('a request is known again as long as it lives, and only to its caller', () => {
  const replays = new Replays();
  expect(replays.claim('up=anna', 'text', 2_000, 1_000)).toBeDefined();
  expect(replays.claim('up=anna', 'text', 2_000, 1_999)).toBeUndefined();
  expect(replays.claim('up=bert', 'text', 2_000, 1_000)).toBeDefined();
  expect(replays.claim('up=anna', 'text', 3_000, 2_000)).toBeDefined();
  replays.claim('up=carl', 'text', 3_000, 2_000)?.();
  expect(replays.claim('up=carl', 'text', 3_000, 2_000)).toBeDefined();
});

test('numbers by action are bounded, whatever callers name', async () => {
  const numbers = new SignerNumbers();
  for (let n = 0; n < 2_000; n += 1) numbers.decided(`agent${n}.run`, true);
  numbers.decided('a"b\n.x', false);
  const labels = new Set<string | undefined>();
  const host = {
    metrics: {
      set: async (_name: string, _value: number, about: Readonly<Record<string, string>>) => void labels.add(about.action),
    },
    control: { info: async () => ({ version: '1' }) },
  };
  await numbers.tell(host as never, { site: 'x', signer: 'y', authorizer: 'z', auditors: [], running: 0 });
  expect(labels.size).toBeLessThan(520);
  expect(labels).toContain('other');
  expect([...labels].filter((label) => label?.includes('"'))).toEqual([]);
});
