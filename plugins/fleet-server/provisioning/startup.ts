// What a node starts with: the configuration file that was named, or, when that is not there or says so, what its provisioning
// token says. Asked by the host before the configuration is read.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  defineSettings,
  type SettingsAnswer,
  type SettingsEntry,
  type SettingsQuestion,
} from '../../../core/sdk/typescript/index.ts';
import { describeTarget, musterExtensions, provisioningEntries } from '../../wire/provisioning/mode.ts';
import { settlePlacement } from '../../wire/provisioning/placement.ts';
import { readRenewalMark } from '../../wire/provisioning/renewal-mark.ts';
import { type ProvisioningClaims, provisioningTarget, readProvisioningToken } from '../../wire/tokens/provisioning.ts';
import { certificateProblem, isNo, isYes, tokenProblem, type Values } from './credentials.ts';
import { fullHostName } from './host-name.ts';

type Remarks = NonNullable<SettingsAnswer['remarks']>[number][];

type Token =
  | { readonly state: 'absent'; readonly file: string }
  | { readonly state: 'unusable'; readonly file: string; readonly reason: string }
  | { readonly state: 'usable'; readonly file: string; readonly claims: ProvisioningClaims };

const inBrief = 'plugin.choria.server.provision';
/**
 * What a node keeps of its configuration while it is provisioned anew: who it is, and what belongs to the machine and not to its
 * fleet.
 */
const keptKeys =
  /^(identity|logfile|loglevel|plugin\.choria\.(status_file_path|status_update_interval|stats_port)|plugin\.muster\..+)$/;

/** What a start decides, by the token, is not for a file to say. */
const decidedKeys = /^plugin\.muster\.provisioning\.(active|available|renewing|plaintext|srv|v2)$/;

export default defineSettings((question) => chooseConfiguration(question, new Date()));

export async function chooseConfiguration({ file, read }: SettingsQuestion, now: Date): Promise<SettingsAnswer | undefined> {
  const remarks: Remarks = [];
  const settled = settlePlacement(dirname(file));
  if (settled === 'finished')
    remarks.push(info('the configuration that was being put in place when the node ended is in place now'));
  if (settled === 'removed') remarks.push(info('a configuration that was not complete when the node ended was removed'));
  const entries = read();
  const values: Values = (key) => entries?.findLast((entry) => entry.key === key)?.value;
  const token = await readToken(file, values);
  if (entries === undefined) return provisioned({ file, token: usable(file, token), kept: [], remarks, renewing: false });
  if (token.state === 'unusable')
    remarks.push({ level: 'error', message: `the provisioning token ${token.file} is ignored: ${token.reason}` });
  const why = await reasonToProvision({ file, values, token, now });
  if (why === undefined) return asItIs(entries, token, remarks);
  remarks.push(info(`the node is provisioned anew: ${why.reason}`));
  const kept = entries.filter(({ key }) => keptKeys.test(key) && !decidedKeys.test(key));
  return provisioned({ file, token: usable(file, token), kept, remarks, renewing: why.mayGoBack });
}

interface Why {
  readonly reason: string;
  /** What the node has is good, if nobody gives it anything new. */
  readonly mayGoBack: boolean;
}

/** The first that holds decides. @throws Error if the node has neither what it needs to serve nor a way to get it */
async function reasonToProvision({
  file,
  values,
  token,
  now,
}: {
  readonly file: string;
  readonly values: Values;
  readonly token: Token;
  readonly now: Date;
}): Promise<Why | undefined> {
  const mayProvision = token.state === 'usable';
  const certificate = certificateProblem(values, now);
  if (!mayProvision) {
    if (isYes(values(inBrief)))
      throw new Error(
        `${file} asks for provisioning (${inBrief}), but ${stateOf(token)}; put a token there, or remove that line`,
      );
    // What can not be read at all is told by the security plugin, which looks where it is.
    if (certificate?.hasExpired)
      throw new Error(`${certificate.reason}; the node can not serve with it, and ${stateOf(token)} to get a new one with`);
    return undefined;
  }
  const broken = await tokenProblem(values, now);
  if (broken !== undefined) return { reason: broken, mayGoBack: false };
  const mark = readRenewalMark(file);
  if (mark?.state === 'wanted') return { reason: mark.reason, mayGoBack: certificate === undefined };
  if (certificate !== undefined) {
    if (token.claims.chpd) return { reason: certificate.reason, mayGoBack: false };
    throw new Error(
      `${certificate.reason}; the node can not serve with it, and the token ${token.file} does not turn provisioning on (claim chpd)`,
    );
  }
  if (isNo(values(inBrief))) return undefined;
  if (isYes(values(inBrief))) return { reason: `${inBrief} is set in ${file}`, mayGoBack: false };
  if (token.claims.chpd) return { reason: `${file} does not say ${inBrief} = false, and the token says chpd`, mayGoBack: false };
  return undefined;
}

function asItIs(entries: readonly SettingsEntry[], token: Token, remarks: Remarks): SettingsAnswer {
  const own = entries.filter(({ key }) => !decidedKeys.test(key));
  if (token.state !== 'usable') return { entries: own, remarks };
  const added = {
    'plugin.muster.provisioning.available': 'true',
    'plugin.muster.provisioning.token': token.file,
  };
  return { entries: [...own, ...toEntries(added)], remarks };
}

async function provisioned({
  file,
  token,
  kept,
  remarks,
  renewing,
}: {
  readonly file: string;
  readonly token: Token & { state: 'usable' };
  readonly kept: readonly SettingsEntry[];
  readonly remarks: Remarks;
  readonly renewing: boolean;
}): Promise<SettingsAnswer> {
  const { claims, file: tokenFile } = token;
  const target = kept.findLast(({ key }) => key === 'plugin.muster.provisioning.target')?.value;
  const set = provisioningEntries({ claims, tokenFile, configFile: file, target });
  if (renewing) set['plugin.muster.provisioning.renewing'] = 'true';
  if (!kept.some(({ key }) => key === 'identity')) set.identity = await fullHostName();
  remarks.push(info(`in provisioning mode, by the token ${tokenFile}: looking for ${describeTarget(claims, target)}`));
  if (claims.chs)
    remarks.push({
      level: 'warn',
      message: `the token ${tokenFile} says that messages are secure (chs), which a node without certificates can not see to: requests are not verified and answers not signed; what protects them is TLS and the token`,
    });
  if (musterExtensions(claims).plaintext)
    remarks.push({
      level: 'warn',
      message: `the token ${tokenFile} says that its brokers are reached without TLS (extension muster.plaintext): the token and all that the node is given can be read on the way`,
    });
  return { entries: [...kept, ...toEntries(set)], remarks };
}

async function readToken(configFile: string, values: Values): Promise<Token> {
  const file = values('plugin.muster.provisioning.token') ?? join(dirname(configFile), 'provisioning.jwt');
  if (!existsSync(file)) return { state: 'absent', file };
  try {
    const claims = await readProvisioningToken(readFileSync(file, 'utf8'));
    provisioningTarget(claims);
    return { state: 'usable', file, claims };
  } catch (error) {
    return { state: 'unusable', file, reason: (error as Error).message };
  }
}

/** @throws Error that says what is missing */
function usable(file: string, token: Token): Token & { state: 'usable' } {
  if (token.state !== 'usable')
    throw new Error(`there is no configuration file ${file}, and ${stateOf(token)}; put one of both there`);
  if (!existsSync(file) && !token.claims.chpd)
    throw new Error(
      `there is no configuration file ${file}, and the token ${token.file} does not turn provisioning on (claim chpd); have it made with --default`,
    );
  return token;
}

function stateOf(token: Token): string {
  if (token.state === 'unusable') return `the provisioning token ${token.file} can not be used: ${token.reason}`;
  return `there is no provisioning token ${token.file}`;
}

function toEntries(values: Readonly<Record<string, string>>): SettingsEntry[] {
  return Object.entries(values).map(([key, value]) => ({ key, value }));
}

function info(message: string): Remarks[number] {
  return { level: 'info', message };
}
