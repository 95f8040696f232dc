// The JSON file of the AAA service: Choria's keys, and some of Muster's own. Each plugin reads its own section of it.

import { existsSync, readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { type AaaService, validate } from '#schemas/choria/aaa/v1/service';
import { parseDuration } from '../duration.ts';
import { readVerificationKey } from '../tokens/jwt.ts';

export type { AaaService };

/** The key of the configuration that names the file. */
export const aaaConfigKey = 'plugin.aaa.config';

/** All that is wrong with the configuration, each problem with its key and what to do. */
export class AaaSettingsError extends Error {
  override readonly name = 'AaaSettingsError';
  readonly code = 'AAA_CONFIG';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.length === 1 ? String(problems[0]) : `${problems.length} problems:\n- ${problems.join('\n- ')}`);
    this.problems = problems;
  }
}

const removed: Readonly<Record<string, string>> = {
  okta: 'the authenticator okta was removed from Choria; use oidc, and its groups',
  natsstream: 'the auditor natsstream was removed from Choria; use jetstream',
};
const ownElsewhere: Readonly<Record<string, string>> = {
  choria_config: 'brokers, identity and security are in the key = value file that this service was started with',
  logfile: 'it is set in the key = value file that this service was started with',
  loglevel: 'it is set in the key = value file that this service was started with',
};
const known: ReadonlySet<string> = new Set([
  ...['site', 'authenticator', 'auditors', 'authorizer', 'signer', 'port', 'monitor_port', 'listen', 'monitor_listen'],
  ...['tls_certificate', 'tls_key', 'tls_ca', 'tls_client_ca', 'disable_tls', 'allowed_clients', 'max_ttl', 'max_connections'],
  ...['max_session', 'basicjwt_signer', 'login'],
]);
const knownOfSigner: ReadonlySet<string> = new Set([
  ...['signing_certificate', 'max_validity', 'choria_service', 'allow_bearer_tokens', 'signing_seed', 'signing_token'],
  'revocations',
]);
const section = /_(authenticator|auditor|authorizer)$/;

export interface FoundSettings {
  /** Without what can't be used of it, so that the rest can be looked at. */
  readonly settings: AaaService;
  readonly problems: readonly string[];
  /** What is passed over, and what is allowed and not wise. */
  readonly warnings: readonly string[];
}

/** The file, checked as far as it can be without the plugins that it names. @throws AaaSettingsError for one that is no JSON */
export function findAaaSettings(file: string): FoundSettings {
  const { settings, broken, problems } = validPart(readJson(file));
  const all = [...problems, ...listenProblems(settings, broken), ...namesProblems(settings, broken)];
  all.push(...signerProblems(settings, broken));
  const inFile = (text: string) => `${file}: ${text}`;
  return {
    settings: withoutRemoved(settings),
    problems: [...new Set(all)].map(inFile),
    warnings: [...warningsOf(settings)].map(inFile),
  };
}

/** @throws AaaSettingsError with all problems */
export function readAaaSettings(file: string): AaaService {
  const { settings, problems } = findAaaSettings(file);
  if (problems.length > 0) throw new AaaSettingsError(problems);
  return settings;
}

/** The section of a plugin, such as `userlist_authenticator`; undefined where there is none. @throws AaaSettingsError */
export function readSection(file: string, name: string): Readonly<Record<string, unknown>> | undefined {
  const value = readJson(file)[name];
  if (value === undefined) return undefined;
  if (!isObject(value)) throw new AaaSettingsError([`${file}: ${name} must be an object`]);
  return value;
}

/** Milliseconds of a duration as Go writes it, such as `1h30m`; undefined if it is none. */
export function goDuration(text: string): number | undefined {
  return parseDuration(text.replace(/\d+(\.\d+)?(us|µs|ns)/g, ''));
}

/** One value or several, as a list. */
export function listOf(value: string | readonly string[] | null | undefined): readonly string[] {
  if (value === undefined || value === null) return [];
  return typeof value === 'string' ? [value] : value;
}

/** Networks in CIDR form, or single addresses. @returns undefined for text that is neither */
export function networksOf(texts: readonly string[]): { readonly list: BlockList } | { readonly wrong: string } {
  const list = new BlockList();
  for (const text of texts) {
    const [address = '', prefix, ...rest] = text.split('/');
    const family = isIP(address);
    const most = family === 6 ? 128 : 32;
    const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (family === 0 || rest.length > 0 || bits < 0 || bits > most) return { wrong: text };
    list.addSubnet(address, bits, family === 6 ? 'ipv6' : 'ipv4');
  }
  return { list };
}

function readJson(file: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new AaaSettingsError([`${aaaConfigKey}: ${file} can not be read: ${(error as Error).message}`]);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message shows a piece of the text, which may be a secret.
    const at = /position \d+( \(line \d+ column \d+\))?/.exec((error as Error).message)?.[0];
    throw new AaaSettingsError([`${file} is not JSON${at === undefined ? '' : `; look at ${at}`}`]);
  }
  if (!isObject(value)) throw new AaaSettingsError([`${file} must hold one JSON object`]);
  return value;
}

/** Keys of what does not fit the schema and was left out, such as `port` and `basicjwt_signer.max_validity`. */
type Broken = ReadonlySet<string>;

/** What fits the schema; of the section of the signer what fits in it. */
function validPart(value: Readonly<Record<string, unknown>>) {
  const settings: Record<string, unknown> = structuredClone(value);
  const broken = new Set<string>();
  const problems: string[] = [];
  validate(value);
  for (const { instancePath, message, params } of validate.errors ?? []) {
    const problem = spellError(instancePath, message, value);
    if (problem !== undefined) problems.push(problem);
    const [key = '', inner] = instancePath.slice(1).split('/');
    const missing = (params as { missingProperty?: string }).missingProperty;
    const part = inner ?? missing;
    broken.add(key === 'basicjwt_signer' && part !== undefined ? `${key}.${part}` : key);
  }
  const signer = settings.basicjwt_signer;
  for (const path of broken) {
    const [key = '', inner] = path.split('.');
    if (inner === undefined) delete settings[key];
    else if (isObject(signer)) settings[key] = { ...(settings[key] as object), [inner]: undefined };
  }
  return { settings: settings as AaaService, broken: broken as Broken, problems };
}

/** Nothing more is to be said of them. */
function withoutRemoved(settings: AaaService): AaaService {
  const { authenticator, auditors } = settings;
  const left = (names: readonly string[]) => [...new Set(names)].filter((name) => removed[name] === undefined);
  const [names, records] = [left(listOf(authenticator)), left(listOf(auditors))];
  const { authenticator: _one, auditors: _other, ...rest } = settings;
  return { ...rest, ...(names.length > 0 && { authenticator: names as [string, ...string[]] }), auditors: records };
}

function spellError(path: string, message: string | undefined, value: unknown): string | undefined {
  const key = path.slice(1).replaceAll('/', '.');
  if ((key === 'port' || key === 'monitor_port') && isObject(value) && typeof value[key] === 'string')
    return `${key} is a string; write it as a number, without quotes`;
  if (message?.startsWith('must match exactly one schema')) return `${key} must be a text, or a list of texts with one at least`;
  if (key === 'signer') return 'signer must be basicjwt';
  const inChoice = /^(authenticator|basicjwt_signer\.signing_certificate)/.test(key);
  return inChoice ? undefined : `${key || 'it'} ${message ?? 'is not valid'}`;
}

function* listenProblems(settings: AaaService, broken: Broken): Generator<string> {
  const { port = 0, disable_tls: plain = false, allowed_clients: allowed = [], max_ttl: ttl, max_session: session } = settings;
  for (const key of ['tls_certificate', 'tls_key', 'tls_ca', 'tls_client_ca'] as const) {
    const file = settings[key];
    if (file === undefined) {
      const isNeeded = (port > 0 || broken.has('port')) && !plain && !broken.has('disable_tls') && !broken.has(key);
      if ((key === 'tls_certificate' || key === 'tls_key') && isNeeded)
        yield `${key} is not set; port needs it, or disable_tls if something else has TLS`;
    } else if (!existsSync(file)) yield `${key}: there is no file ${file}`;
  }
  if (port > 0 && port === settings.monitor_port) yield 'port and monitor_port are the same; choose another monitor_port';
  if (settings.tls_ca !== undefined && settings.tls_client_ca !== undefined)
    yield 'tls_ca and tls_client_ca exclude each other: the first asks every client for a certificate, the second asks nobody';
  for (const text of allowed)
    if ('wrong' in networksOf([text])) yield `allowed_clients: '${text}' is no network such as 192.0.2.0/24 or 2001:db8::/32`;
  for (const [key, value] of Object.entries({ max_ttl: ttl, max_session: session }))
    if (value !== undefined && !(Number(goDuration(value)) > 0)) yield `${key}: '${value}' is no duration such as 90m or 12h`;
}

function* namesProblems(settings: AaaService, broken: Broken): Generator<string> {
  const { authenticator, auditors, signer, authorizer, port = 0, basicjwt_signer } = settings;
  const isUnset = (key: 'signer' | 'authenticator' | 'authorizer') => settings[key] === undefined && !broken.has(key);
  const hasPort = port > 0 || broken.has('port');
  for (const [key, names] of Object.entries({ authenticator: listOf(authenticator), auditors: listOf(auditors) })) {
    for (const name of names) if (removed[name] !== undefined) yield `${key}: ${removed[name]}`;
    if (new Set(names).size < names.length) yield `${key} names one plugin twice`;
  }
  if (isUnset('signer') && isUnset('authenticator'))
    yield 'neither authenticator nor signer is set, so that there is nothing to do';
  if (signer !== undefined && isUnset('authorizer'))
    yield 'signer needs an authorizer, such as actionlist or opa; without one nobody decides';
  if (isUnset('signer') && authorizer !== undefined) yield 'authorizer is set and signer is not; it serves the signer only';
  if (authenticator !== undefined && !hasPort) yield 'authenticator needs port; logins come over HTTP only';
  const isService = basicjwt_signer?.choria_service === true || broken.has('basicjwt_signer.choria_service');
  if (signer !== undefined && !hasPort && !isService && !broken.has('basicjwt_signer'))
    yield 'signer needs port, or choria_service in basicjwt_signer; otherwise nobody can reach it';
}

function* signerProblems({ signer, basicjwt_signer: section }: AaaService, broken: Broken): Generator<string> {
  if (signer === undefined) return;
  if (section === undefined) {
    if (broken.has('basicjwt_signer')) return;
    yield 'basicjwt_signer is not set; the signer needs its signing_certificate and max_validity';
    return;
  }
  const key = (name: string) => `basicjwt_signer.${name}`;
  const isBroken = (name: string) => broken.has(key(name));
  if (!isBroken('max_validity') && !(Number(goDuration(section.max_validity)) > 0))
    yield `${key('max_validity')}: '${section.max_validity}' is no duration such as 2h or 1h30m`;
  const files = listOf(section.signing_certificate);
  if (files.length === 0 && !isBroken('signing_certificate'))
    yield `${key('signing_certificate')} is not set; tokens of users are verified with it`;
  for (const file of files) {
    try {
      readVerificationKey(file);
    } catch (error) {
      yield `${key('signing_certificate')}: ${(error as Error).message}`;
    }
  }
  for (const name of ['signing_seed', 'signing_token'] as const) {
    const file = section[name];
    if (file !== undefined && !existsSync(file)) yield `${key(name)}: there is no file ${file}`;
  }
  const isHalf = (section.signing_seed === undefined) !== (section.signing_token === undefined);
  if (isHalf && !isBroken('signing_seed') && !isBroken('signing_token'))
    yield `${key('signing_seed')} and ${key('signing_token')} belong together: seed and token of the delegator`;
}

function* warningsOf(settings: AaaService): Generator<string> {
  for (const key of Object.keys(settings)) {
    if (ownElsewhere[key] !== undefined) yield `${key} is passed over: ${ownElsewhere[key]}`;
    else if (!known.has(key) && !section.test(key)) yield `${key} is not a known key and is passed over`;
  }
  for (const key of Object.keys(settings.basicjwt_signer ?? {}))
    if (!knownOfSigner.has(key)) yield `basicjwt_signer.${key} is not a known key and is passed over`;
  const { port = 0, disable_tls: plain = false, signer, auditors, basicjwt_signer } = settings;
  if (port > 0 && plain) yield 'disable_tls: passwords and tokens can be read on their way unless something else has TLS';
  if (signer !== undefined && listOf(auditors).length === 0) yield 'auditors is empty, so that nobody records what is signed';
  if (basicjwt_signer?.allow_bearer_tokens === true)
    yield 'allow_bearer_tokens is on, so that whoever has a token may use it without its key';
  if (settings.tls_ca !== undefined && signer !== undefined)
    yield "tls_ca: Choria's clients show no certificate when they ask for a signature, and are refused; offer choria_service";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
