// `muster login` and `muster logout`.

import type { KeyObject } from 'node:crypto';
import { definePlugin, type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { filesOf, type LoginConfig, loginUrls, tlsOf } from './config.ts';
import { LoginError } from './errors.ts';
import { forget, keep, whileLocked } from './keep.ts';
import {
  type Granted,
  logInBy,
  logInWithPassword,
  type Method,
  type Methods,
  methodsOf,
  newKey,
  type Service,
} from './request.ts';

export interface LoginOptions {
  readonly user?: string;
  readonly method?: string;
  readonly device?: boolean;
  /** False with `--no-browser`. */
  readonly browser?: boolean;
  readonly certificate?: string;
  readonly key?: string;
  readonly pkcs11Module?: string;
  readonly slot?: string;
  readonly keyId?: string;
  readonly json?: boolean;
}

interface Params {
  readonly command: readonly string[];
  readonly options: LoginOptions;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ command, options }: Params, { signal }: { readonly signal: AbortSignal }) => {
        if (command[0] === 'logout') return logOut(host, options);
        return logIn(host, options, signal);
      },
    },
  }),
});

async function logIn(host: Host, options: LoginOptions, signal: AbortSignal): Promise<{ exitCode: number }> {
  const config = host.config as LoginConfig;
  const files = filesOf(config);
  const service: Service = { urls: loginUrls(config), tls: tlsOf(config), signal };
  await warnOfPlainText(host, service);
  const offered = await methodsOf(service);
  const method = chosen(offered, options.method);
  const granted = await grantedBy(host, service, method, offered, options);
  await whileLocked(files, () => keep(files, granted));
  const { callerid, exp } = granted.claims;
  const until = exp === undefined ? undefined : new Date(exp * 1_000).toISOString();
  const told = { callerid, expires: until ?? null, token_file: files.token, seed_file: files.seed };
  const text = `Logged in as ${printable(callerid)}${until === undefined ? '' : ` until ${until}`}; the token is in ${files.token}\n`;
  await host.terminal.write(options.json ? `${JSON.stringify(told, undefined, 2)}\n` : text);
  return { exitCode: 0 };
}

async function logOut(host: Host, { json }: LoginOptions): Promise<{ exitCode: number }> {
  const files = filesOf(host.config as LoginConfig);
  const removed = forget(files);
  const text = removed ? `Logged out: ${files.token} and its key are removed\n` : 'Nobody was logged in\n';
  await host.terminal.write(json ? `${JSON.stringify({ removed, token_file: files.token })}\n` : text);
  return { exitCode: 0 };
}

/** The one that was asked for, or the first that the service names. Undefined is a password at any service. */
function chosen(offered: Methods | undefined, name: string | undefined): Method | undefined {
  if (!offered) {
    if (name === undefined || name === 'password') return undefined;
    throw new LoginError('LOGIN_CONFIG', `this login service knows passwords only, and no method ${name}`);
  }
  if (name === undefined || name === 'password') {
    const [first] = offered.methods;
    return name === undefined && first?.credential !== 'password' ? first : undefined;
  }
  const method = offered.methods.find((one) => one.name === name);
  if (method) return method;
  const names = offered.methods.map((one) => printable(one.name)).join(', ');
  throw new LoginError('LOGIN_CONFIG', `this login service has no method ${name}; it has ${names}`);
}

async function grantedBy(
  host: Host,
  service: Service,
  method: Method | undefined,
  offered: Methods | undefined,
  options: LoginOptions,
): Promise<Granted> {
  if (method?.credential === 'oidc') {
    const key = newKey();
    const { signOn } = await import('./oidc.ts');
    const credential = await signOn(host, method, key, service, { device: options.device, browser: options.browser !== false });
    const code = await askedCode(host, offered?.secondFactor ?? false);
    return logInBy(service, { method: method.name, credential, code, key });
  }
  if (method?.credential === 'certificate') {
    const [key, username] = [newKey(), options.user ?? ''];
    const shown = await shownCertificate(host, options, { key, username });
    const code = await askedCode(host, offered?.secondFactor ?? false);
    return logInBy(service, { method: method.name, username, code, key, ...shown });
  }
  if (method && method.credential !== 'password')
    throw new LoginError('LOGIN_CONFIG', `the method ${printable(method.name)} can not be used by this client`);
  const { username, password, code } = await askedPassword(host, options.user, offered?.secondFactor ?? false);
  try {
    if (!method) return await logInWithPassword(service, username, password + behind(code));
    return await logInBy(service, { method: method.name, username, credential: password, code, key: newKey() });
  } catch (error) {
    const isCodeMissing = code === undefined && offered?.secondFactor === true;
    throw error instanceof LoginError && error.code === 'LOGIN_REFUSED' && isCodeMissing ? withHint(error) : error;
  }
}

/** Said of all users of the service, so that it tells nothing of this one. */
function withHint(cause: LoginError): LoginError {
  const hint = 'no code was given; where a second factor is in use it is asked for, and stands in a second line of a pipe';
  return new LoginError(cause.code, `${cause.message} (${hint})`, { cause });
}

async function shownCertificate(
  host: Host,
  options: LoginOptions,
  login: { readonly key: KeyObject; readonly username: string },
) {
  const { 'plugin.muster.login.certificate': certificate, 'plugin.muster.login.key': key } = host.config as LoginConfig;
  const { certificateCredential } = await import('./certificate.ts');
  return certificateCredential(host, { certificate, key, ...options }, login);
}

/** As services take a code where there is one field only: the digits right behind the password, a recovery code after a blank. */
function behind(code: string | undefined): string {
  if (code === undefined) return '';
  return /^\d{6}$/.test(code) ? code : ` ${code}`;
}

interface Asked {
  readonly username: string;
  readonly password: string;
  readonly code: string | undefined;
}

/** Of a person only: what comes by single sign-on can not be in a pipe. */
async function askedCode(host: Host, asksCode: boolean): Promise<string | undefined> {
  if (!asksCode || !(await host.terminal.info()).interactive) return undefined;
  return (await host.terminal.prompt('Code of your second factor, if you have one here: ')).trim() || undefined;
}

/** Of a person, or from a pipe: the password on the first line, a code on the second. */
async function askedPassword(host: Host, user: string | undefined, asksCode: boolean): Promise<Asked> {
  const { interactive, piped } = await host.terminal.info();
  const usual = process.env.USER ?? '';
  if (interactive) {
    const name = user ?? (await host.terminal.prompt(`Username${usual === '' ? '' : ` (${usual})`}: `));
    const username = needed(name.trim() || usual, 'a user name');
    const password = needed(await host.terminal.prompt('Password: ', { secret: true }), 'a password');
    return { username, password, code: await askedCode(host, asksCode) };
  }
  const [password = '', code = ''] = piped ? (await host.terminal.read({ limitBytes: 16_384 })).split(/\r?\n/) : [];
  return {
    username: needed(user ?? usual, 'a user name; name it with --user'),
    password: needed(password, 'a password; type it on a terminal, or pipe it in'),
    code: code.trim() || undefined,
  };
}

function needed(text: string, what: string): string {
  if (text !== '') return text;
  throw new LoginError('LOGIN_CREDENTIAL', `a login needs ${what}`);
}

async function warnOfPlainText(host: Host, { urls }: Service): Promise<void> {
  const plain = urls.filter(({ protocol, hostname }) => protocol === 'http:' && !/^(127\.|\[::1\]$|localhost$)/.test(hostname));
  if (plain.length > 0)
    await host.terminal.write(`muster: ${plain[0]?.origin} has no TLS, so that passwords can be read on their way\n`, 'stderr');
}
