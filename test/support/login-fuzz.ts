// Damaged logins by the dice: whatever comes, nobody gets a token who did not sign for it, and nothing secret is told.

import { Dice } from './fuzz-dice.ts';
import { mutate, mutateJsonText } from './fuzz-mutate.ts';
import { LoginKey, type LoginService, loginBody } from './login-service.ts';

type Body = Readonly<Record<string, unknown>>;

export interface FuzzedLogins {
  readonly sent: number;
  readonly granted: number;
  /** What must not be, with the number of the dice. */
  readonly faults: readonly string[];
}

const paths = ['/choria/v1/login', '/muster/v1/login', '/muster/v1/refresh'] as const;
const atOnce = 32;
/** What the listener says to a body that is none, does not fit, or is too large. */
const badBody = new Set([400, 413, 422]);

/** @param user who may log in, with a password that is a canary */
export async function fuzzLogins(
  service: LoginService,
  { seed, count, user, password }: { seed: number; count: number; user: string; password: string },
): Promise<FuzzedLogins> {
  const key = new LoginKey();
  const { token = '' } = (await service.login(user, password, { key })).body;
  const faults: string[] = [];
  let granted = 0;
  const one = async (index: number) => {
    const dice = new Dice(seed, index);
    const path = dice.pick(paths);
    const good = goodBody(path, key, { user, password, token });
    const changed = mutate(good, dice, [good, token, key.publicKey, null, { a: 1 }]);
    const plain = JSON.stringify(changed) ?? 'null';
    const text = dice.chance(0.2) ? mutateJsonText(plain, dice) : plain;
    const { status, body } = await service.post(path, text, `192.0.2.${index % 250}`);
    const isAlike = status === 200 && JSON.stringify(body) === '{"error":"Login failed"}';
    if (body.token !== undefined) {
      granted += 1;
      if (!isUnchanged(good, text)) faults.push(`${index}: a token for a body that was changed: ${text.slice(0, 300)}`);
    } else if (!isAlike && !badBody.has(status)) faults.push(`${index}: ${status} ${JSON.stringify(body).slice(0, 200)}`);
  };
  for (let from = 0; from < count; from += atOnce)
    await Promise.all(Array.from({ length: Math.min(atOnce, count - from) }, (_, offset) => one(from + offset)));
  if (service.said.includes(password)) faults.push('the log holds the password');
  if (service.said.includes(token)) faults.push('the log holds a token');
  if ((await service.login(user, password)).body.token === undefined) faults.push('a good login is refused afterwards');
  return { sent: count, granted, faults: faults.slice(0, 10) };
}

function goodBody(path: (typeof paths)[number], key: LoginKey, made: { user: string; password: string; token: string }): Body {
  const timestamp = String(Math.floor(Date.now() / 1_000));
  if (path === '/choria/v1/login') return loginBody(made.user, made.password, key);
  if (path === '/muster/v1/refresh')
    return { token: made.token, timestamp, signature: key.sign(`${timestamp}:refresh:${made.token}`) };
  const { user: username, password: credential } = made;
  const signature = key.sign(`${timestamp}:userlist:${username}:${credential}`);
  return { method: 'userlist', username, credential, timestamp, public_key: key.publicKey, signature };
}

/** Whether everything that is signed, and the signature, is as it was; letters of hex may be of either case. */
function isUnchanged(good: Body, text: string): boolean {
  const sent = JSON.parse(text) as Body;
  const plain = (value: unknown) => String(value).toLowerCase();
  return Object.entries(good).every(([name, value]) => plain(sent[name]) === plain(value));
}
