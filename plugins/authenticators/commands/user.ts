// `muster aaa user add|passwd|totp|list`: the list of users, and their second factors.

import { definePlugin, type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { AaaError } from '../../wire/aaa/errors.ts';
import { hashPassword } from '../../wire/aaa/passwords.ts';
import { ensureFactorKey, sealFactor } from '../../wire/aaa/second-factors.ts';
import { enrolmentUri, newRecoveryCode, newTotpSecret } from '../../wire/aaa/totp.ts';
import type { UserEntry } from '../../wire/aaa/users.ts';
import { plainTable } from '../../wire/table.ts';
import { changeSecondFactors, changeUsers, type Places, placesOf, secondFactorsIn, usersIn } from './files.ts';

interface Options {
  readonly users?: string;
  readonly organization?: string;
  readonly acl?: readonly string[];
  readonly policy?: string;
  readonly property?: readonly string[];
  readonly permission?: readonly string[];
  readonly validity?: string;
  readonly tenant?: string;
  readonly caller?: string;
  readonly remove?: boolean;
  readonly json?: boolean;
}

interface Params {
  readonly command: readonly string[];
  readonly arguments: { readonly name?: string };
  readonly options: Options;
}

const recoveryCodes = 10;
const shortestPassword = 8;

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ command, arguments: { name = '' }, options }: Params) => {
        const places = placesOf(host.config['plugin.aaa.config'] as string | undefined, options.users);
        const action = command.at(-1);
        if (action === 'add') await add(host, places, name, options);
        else if (action === 'passwd') await changePassword(host, places, name, options);
        else if (action === 'totp') await secondFactor(host, places, name, options);
        else await list(host, places, options);
        return { exitCode: 0 };
      },
    },
  }),
});

async function add(host: Host, { users: file }: Places, name: string, options: Options): Promise<void> {
  if (usersIn(file).some(({ username }) => username === name)) throw problem(`${name} is in ${file} already; use passwd`);
  const password = await hashPassword(await askedPassword(host));
  const entry: UserEntry = {
    username: name,
    password,
    ...(options.organization && { organization: options.organization }),
    ...(options.acl && { acls: options.acl.flatMap(words) }),
    ...(options.policy && { opa_policy_file: options.policy }),
    ...(options.property && { properties: Object.fromEntries(options.property.map(pair)) }),
    ...(options.permission && {
      broker_permissions: Object.fromEntries(options.permission.flatMap(words).map((word) => [word, true])),
    }),
    ...(options.validity && { validity: options.validity }),
    ...(options.tenant && { tenant: options.tenant }),
  };
  await changeUsers(file, (users) => [...users, entry]);
  await tell(host, options, { username: name, file }, `${name} is in ${file}\n`);
}

async function changePassword(host: Host, { users: file }: Places, name: string, options: Options): Promise<void> {
  known(usersIn(file), file, name);
  const password = await hashPassword(await askedPassword(host));
  await changeUsers(file, (users) => {
    known(users, file, name);
    return users.map((user) => (user.username === name ? { ...user, password } : user));
  });
  await tell(host, options, { username: name, file }, `${name} has a new password in ${file}\n`);
}

async function secondFactor(host: Host, places: Places, name: string, options: Options): Promise<void> {
  const { secondFactors: file, secondFactorKey: keyFile } = places;
  if (file === undefined || keyFile === undefined)
    throw problem(
      'second factors need login.second_factor with file and key in the JSON file of the AAA service; name it by --config',
    );
  const caller = options.caller ?? `up=${name}`;
  if (options.caller === undefined) known(usersIn(places.users), places.users, name);
  if (options.remove) {
    await changeSecondFactors(file, ({ [caller]: _, ...others }) => others);
    await tell(host, options, { callerid: caller, removed: true }, `${caller} has no second factor any more\n`);
    return;
  }
  const [secret, codes] = [newTotpSecret(), Array.from({ length: recoveryCodes }, () => newRecoveryCode())];
  const sealed = sealFactor(caller, { secret, recoveryCodes: codes }, ensureFactorKey(keyFile));
  const uri = await enrolmentUri(secret, caller.slice(caller.indexOf('=') + 1));
  await changeSecondFactors(file, (factors) => ({ ...factors, [caller]: sealed }));
  const text = [
    `${printable(caller)} has a second factor from now on. This is shown once; it is not kept in this form.`,
    '',
    `For an authenticator app: ${uri}`,
    '',
    'Recovery codes, each good for one login in place of a code:',
    ...codes.map((code) => `  ${code}`),
    '',
  ];
  await tell(host, options, { callerid: caller, uri, recovery_codes: codes }, text.join('\n'));
}

async function list(host: Host, { users: file, secondFactors }: Places, options: Options): Promise<void> {
  const factors = secondFactors === undefined ? {} : secondFactorsIn(secondFactors).users;
  const shown = usersIn(file).map((user) => ({
    username: user.username,
    organization: user.organization || 'choria',
    tenant: user.tenant ?? null,
    acls: user.acls ?? [],
    policy: user.opa_policy ? 'in the list' : (user.opa_policy_file ?? null),
    permissions: Object.entries(user.broker_permissions ?? {}).flatMap(([name, granted]) => (granted ? [name] : [])),
    validity: user.validity ?? null,
    second_factor: Object.hasOwn(factors, `up=${user.username}`),
  }));
  const rows = shown.map((user) =>
    [
      user.username,
      user.organization,
      user.policy === null ? user.acls.join(' ') : `policy: ${user.policy}`,
      user.permissions.join(' '),
      user.second_factor ? 'yes' : 'no',
    ].map((cell) => printable(cell)),
  );
  const table = plainTable(['User', 'Organization', 'May', 'Permissions', 'Second factor']);
  table.push(...rows);
  await tell(host, options, shown, rows.length === 0 ? `${file} has no users\n` : `${table.toString()}\n`);
}

/** Typed twice by a person, or the first line of what is piped in. @throws AaaError `AAA_USERS` */
async function askedPassword(host: Host): Promise<string> {
  const { interactive, piped } = await host.terminal.info();
  if (interactive) {
    const password = longEnough(await host.terminal.prompt('Password: ', { secret: true }));
    if ((await host.terminal.prompt('Once more: ', { secret: true })) !== password) throw problem('the two passwords differ');
    return password;
  }
  const [line = ''] = piped ? (await host.terminal.read({ limitBytes: 4_096 })).split(/\r?\n/) : [];
  if (line === '') throw problem('a user needs a password; type it on a terminal, or pipe it in');
  return longEnough(line);
}

function longEnough(password: string): string {
  if ([...password].length >= shortestPassword) return password;
  throw problem(`the password has fewer than ${shortestPassword} characters`);
}

/** @throws AaaError `AAA_USERS` */
function known(users: readonly UserEntry[], file: string, name: string): void {
  if (!users.some(({ username }) => username === name)) throw problem(`there is no user ${printable(name)} in ${file}`);
}

function words(text: string): string[] {
  return text.split(',').flatMap((word) => word.trim() || []);
}

function pair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw problem(`--property is '${text}', and must be name=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

async function tell(host: Host, { json }: Options, value: object, text: string): Promise<void> {
  await host.terminal.write(json ? `${JSON.stringify(value, undefined, 2)}\n` : text);
}

function problem(message: string): AaaError {
  return new AaaError('AAA_USERS', message);
}
