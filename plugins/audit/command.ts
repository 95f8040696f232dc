// The commands `muster audit verify` and `muster audit search`.

import { existsSync, readFileSync } from 'node:fs';
import { definePlugin, type Host, printable } from '../../core/sdk/typescript/index.ts';
import { readAaaSettings } from '../wire/aaa/settings.ts';
import { parseDuration } from '../wire/duration.ts';
import { anchorText, type ChainPlace, readAnchor } from './chain-format.ts';
import { connectAudit } from './connect.ts';
import { JetStream } from './jetstream-api.ts';
import { type Found, type Query, searchFile, searchStream } from './search.ts';
import { AuditError, rotatedFiles, type Section } from './section.ts';
import { isPlainLog, type Verdict, verifyChain } from './verify.ts';

interface Options {
  readonly key?: string;
  readonly first?: number;
  readonly anchor?: string;
  readonly json?: boolean;
  readonly user?: string;
  readonly action?: string;
  readonly agent?: string;
  readonly since?: string;
  readonly until?: string;
  readonly node?: string;
  readonly stream?: string;
}

interface Params {
  readonly command: readonly string[];
  readonly arguments: { readonly files?: readonly string[] };
  readonly options: Options;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': ({ command, arguments: { files = [] }, options }: Params) =>
        command.at(-1) === 'verify' ? verify(host, files, options) : search(host, files, options),
    },
  }),
});

async function verify(host: Host, given: readonly string[], { key, first, anchor, json }: Options) {
  const files = given.length > 0 ? given : configured(host, 'chain_auditor');
  if (files.length === 0) throw new AuditError('name the file of a chain, or plugin.aaa.config whose chain_auditor has one');
  for (const file of files)
    if (!existsSync(file) && rotatedFiles(file).length === 0) throw new AuditError(`there is no file ${file}`);
  for (const file of files)
    if (existsSync(file) && (await isPlainLog(file)))
      throw new AuditError(`${file} holds records without a chain, of which nobody can tell; the auditor chain writes one`);
  const verdict = await verifyChain(files, {
    key: key === undefined ? undefined : readKey(key),
    first,
    anchor: anchor === undefined ? undefined : anchorOf(anchor),
  });
  await host.terminal.write(json ? `${JSON.stringify(verdict, null, 2)}\n` : printable(verdictText(verdict, key !== undefined)));
  return { exitCode: verdict.ok ? 0 : 1 };
}

function verdictText(verdict: Verdict, isKnownKey: boolean): string {
  const { ok, problem, files, records, checkpoints, unsigned, key, last, notes } = verdict;
  const lines = ok
    ? [
        `${many(records, 'record')} in ${many(files.length, 'file')}, as they were written; ${many(checkpoints, 'checkpoint')} signed.`,
      ]
    : [`Not as it was written (${problem?.kind}): ${problem?.message}.`];
  if (ok && unsigned > 0)
    lines.push(`No checkpoint yet for the last ${many(unsigned, 'record')}: the file beside the chain vouches for the end.`);
  if (ok && last) lines.push(`Its last entry is ${anchorText(last)}; kept elsewhere, it is the --anchor of a later look.`);
  lines.push(...notes.map((note) => `Note: ${note}.`));
  if (key !== undefined && !isKnownKey) lines.push(`Signed by ${key}; whether that is the right key, tell with --key.`);
  return `${lines.join('\n')}\n`;
}

function many(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

async function search(host: Host, given: readonly string[], options: Options) {
  const query = readQuery(options);
  const files = given.length > 0 || options.stream !== undefined ? given : allConfigured(host);
  if (files.length === 0 && options.stream === undefined)
    throw new AuditError('name log files, or --stream NAME, or plugin.aaa.config whose auditors have files');
  const found: Found[] = [];
  const unreadable: string[] = [];
  for (const file of files) {
    if (!existsSync(file) && rotatedFiles(file).length === 0) throw new AuditError(`there is no file ${file}`);
    for await (const one of searchFile(file, query, (where) => unreadable.push(where))) found.push(one);
  }
  if (options.stream !== undefined) found.push(...(await fromStream(host, options.stream, query)));
  found.sort((a, b) => a.time - b.time);
  await host.terminal.write(
    options.json ? `${JSON.stringify({ records: found }, null, 2)}\n` : printable(found.map(lineOf).join('')),
  );
  if (found.length === 0 && !options.json) await host.terminal.write('No record fits.\n', 'stderr');
  const [first] = unreadable;
  if (first !== undefined)
    await host.terminal.write(`${unreadable.length} lines are no records, the first at ${first}\n`, 'stderr');
  return { exitCode: 0 };
}

async function fromStream(host: Host, stream: string, query: Query): Promise<Found[]> {
  if (!/^[A-Za-z0-9_-]+$/.test(stream)) throw new AuditError(`'${stream}' is no name of a stream`);
  await connectAudit(host, { servers: [], role: 'client', wait: true });
  const jetstream = new JetStream(host);
  await jetstream.start();
  try {
    const found: Found[] = [];
    for await (const one of searchStream(jetstream, stream, query)) found.push(one);
    return found;
  } finally {
    jetstream.stop();
  }
}

function lineOf({ time, decision, caller, agent, action, sender, nodes, id }: Found): string {
  const when = new Date(time * 1000).toISOString().replace('.000Z', 'Z');
  const asked = `${agent}${action === '' ? '' : `#${action}`}`;
  const whom = nodes.length === 0 ? '' : ` for ${nodes.slice(0, 5).join(', ')}${nodes.length > 5 ? ' …' : ''}`;
  // Names come from requests, also from those that were refused; each record is one line.
  const who = `${caller}  ${asked}${whom}  from ${sender}  (${id})`.replaceAll(/\s*[\r\n\u2028\u2029]\s*/g, ' ');
  return `${when}  ${decision.padEnd(5)}  ${who}\n`;
}

/** @throws AuditError */
function readQuery({ user, action, agent, since, until, node }: Options): Query {
  if (action !== undefined && action !== 'allow' && action !== 'deny')
    throw new AuditError(`--action takes allow or deny; agents and their actions are --agent ${action}`);
  return { user, agent, node, decision: action, since: readTime('--since', since), until: readTime('--until', until) };
}

/** A time, or so long ago. @throws AuditError */
function readTime(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms !== undefined) return Math.floor((Date.now() - ms) / 1000);
  const time = Date.parse(text);
  if (Number.isFinite(time)) return Math.floor(time / 1000);
  throw new AuditError(`${flag}: '${text}' is neither a time such as 2026-11-26T21:00:00Z nor a duration such as 2h`);
}

/** @throws AuditError */
function readKey(key: string): string {
  const text = existsSync(key) ? readFileSync(key, 'utf8').trim() : key;
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new AuditError(`--key: ${key} is neither a key of 64 hex digits nor a file with one`);
}

/** @throws AuditError */
function anchorOf(anchor: string): ChainPlace {
  const text = existsSync(anchor) ? readFileSync(anchor, 'utf8') : anchor;
  const place = readAnchor(text) ?? lastOf(text);
  if (place) return place;
  throw new AuditError(
    `--anchor: ${anchor} is neither NUMBER:HASH nor a file with that, or with what \`muster audit verify --json\` said of a whole chain`,
  );
}

function lastOf(verdict: string): ChainPlace | undefined {
  try {
    const { ok, last } = JSON.parse(verdict) as { ok?: unknown; last?: Partial<ChainPlace> };
    return ok === true ? readAnchor(`${last?.seq}:${last?.hash}`) : undefined;
  } catch {
    return undefined;
  }
}

function configured(host: Host, name: string): string[] {
  const file = host.config['plugin.aaa.config'];
  if (typeof file !== 'string') return [];
  const section = readAaaSettings(file)[name] as Section | undefined;
  return typeof section?.logfile === 'string' ? [section.logfile] : [];
}

/** One of them; each has the same records. */
function allConfigured(host: Host): string[] {
  const chain = configured(host, 'chain_auditor');
  if (chain.length > 0) return chain;
  const node = host.config['plugin.rpcaudit.logfile'];
  return [...configured(host, 'logfile_auditor'), ...(typeof node === 'string' ? [node] : [])];
}
