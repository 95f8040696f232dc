import { describe, expect, it } from 'vitest';
import { openFactor, sealFactor } from '../../plugins/wire/aaa/second-factors.ts';
import { codeAt, enrolmentUri, splitCode, stepOfCode } from '../../plugins/wire/aaa/totp.ts';

/** The last six digits of the codes of RFC 6238, appendix B, by SHA-1. */
const published = [
  [59, '287082'],
  [1111111109, '081804'],
  [1111111111, '050471'],
  [1234567890, '005924'],
  [2000000000, '279037'],
  [20000000000, '353130'],
] as const;
const publishedSecret = Buffer.from('12345678901234567890');

describe('codes that change with time', () => {
  it.each(published)('are those of RFC 6238 at %i', async (time, code) => {
    expect(await codeAt(publishedSecret, Math.floor(time / 30))).toBe(code);
  });

  it('are good in their own step and the next one', async () => {
    const [time, code] = published[2];
    const step = Math.floor(time / 30);
    const found = await Promise.all([-30, 0, 30, 60].map((late) => stepOfCode(publishedSecret, code, time + late)));
    expect(found).toEqual([undefined, step, step, undefined]);
    for (const none of ['', '1', `${code}0`, code.slice(1), 'abcdef'])
      expect(await stepOfCode(publishedSecret, none, time)).toBeUndefined();
  });

  it('come from a secret that is enrolled as authenticator apps take it', async () => {
    expect(await enrolmentUri(publishedSecret, 'anna')).toBe(
      'otpauth://totp/Muster:anna?issuer=Muster&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&period=30',
    );
  });

  it('have their secret opened for their user alone, with the key that closed it', () => {
    const [key, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const sealed = sealFactor('up=anna', { secret: publishedSecret, recoveryCodes: ['abcde-fghjk'] }, key);
    expect(Buffer.from(openFactor('up=anna', sealed, key))).toEqual(publishedSecret);
    for (const [caller, by] of [
      ['up=bob', key],
      ['up=anna', other],
    ] as const)
      expect(() => openFactor(caller, sealed, by)).toThrow('was not encrypted with this key');
    expect(JSON.stringify(sealed)).not.toContain('abcde');
  });
});

it.each([
  ['open:sesame123456', 'open:sesame', '123456'],
  // With other digits the last word would be a recovery code without its dash.
  ['canary of anna642264', 'canary of anna', '642264'],
  ['canary of anna abcde-fghjk', 'canary of anna', 'abcde-fghjk'],
  ['canary of anna', 'canary of anna', undefined],
])('%j is a password and its code', (typed, password, code) => {
  expect(splitCode(typed)).toEqual({ password, code });
});
