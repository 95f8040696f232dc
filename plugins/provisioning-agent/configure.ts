// The action configure: everything is checked and written beside its place before anything of it counts.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { ActionError } from '../../core/sdk/typescript/index.ts';
import { certificatesIn } from '../wire/pki/certificate.ts';
import { openPrivateKey, sharedSecret, type TransitKeys } from '../wire/provisioning/key-transit.ts';
import {
  type OnStep,
  type PlacedFile,
  type PlacementPlan,
  place,
  stage,
  stagedPath,
  undoStaging,
} from '../wire/provisioning/placement.ts';
import { renewalMarkFile } from '../wire/provisioning/renewal-mark.ts';
import { type Input, isTexts } from './input.ts';
import * as keys from './keys.ts';

type Texts = Readonly<Record<string, string>>;

const texts = ['config', 'certificate', 'ca', 'ssldir', 'key', 'ecdh_public', 'server_jwt'] as const;

export interface Configuring {
  readonly configFile: string;
  /** Where the keys of this node are. */
  readonly ssldir: string;
  /** Of the latest `jwt`, which a key in transit was encrypted for. */
  readonly transit: TransitKeys | undefined;
  /** For the first line of the file. */
  readonly comment: string;
  /** What is wrong with a configuration file; nothing if a node could start with it. */
  readonly problemsOf: (file: string) => Promise<readonly string[]>;
  readonly onStep?: OnStep;
}

export interface Configured {
  readonly path: string;
  readonly lines: number;
}

/** @throws ActionError 1 and 4, and then nothing has changed */
export async function configure(input: Input, parts: Configuring): Promise<Configured> {
  // Types come first, as they do in Choria's agent.
  const policies = { actions: input.texts('action_policies'), rego: input.texts('opa_policies') };
  for (const key of texts) input.text(key);
  const settings = readSettings(input.text('config'));
  const target = resolveLink(parts.configFile);
  const folder = dirname(parts.configFile);
  const tls = tlsFiles(input, parts);
  const token = tokenFiles(input.text('server_jwt'), folder);
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`);
  const configuration = { path: target, mode: 0o600, contents: `# ${parts.comment}\n${lines.join('')}` };
  const plan: PlacementPlan = {
    folders: policyFolders(policies, folder),
    // The configuration comes last: until it is there the node is not provisioned, or still what it was.
    files: [...tls.files, ...token.files, configuration],
    remove: [...tls.remove, ...token.remove, renewalMarkFile(parts.configFile)],
  };
  stage(folder, plan, parts.onStep);
  try {
    await check(stagedPath(target), target, parts);
  } catch (error) {
    undoStaging(folder);
    throw error;
  }
  place(folder, parts.onStep);
  return { path: target, lines: lines.length + 1 };
}

/** @throws ActionError if no node could start with this file */
async function check(staged: string, target: string, { problemsOf }: Configuring): Promise<void> {
  const problems = await problemsOf(staged);
  if (problems.length > 0)
    throw new ActionError(`no node could start with this configuration: ${problems.join('; ').replaceAll(staged, target)}`);
}

function readSettings(text: string): Readonly<Record<string, string>> {
  if (text === '') throw new ActionError('no configuration was given; an empty one can not be written');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ActionError('the configuration is no JSON');
  }
  if (!isTexts(value)) throw new ActionError('the configuration is no JSON object in which all values are strings');
  if (Object.keys(value).length === 0) throw new ActionError('the configuration is empty');
  for (const [key, item] of Object.entries(value)) {
    if (!/^[^\s=#][^\s=]*$/.test(key)) throw new ActionError(`'${key.slice(0, 60)}' is no key of a configuration`);
    // A line break would make lines of its own.
    if (/[\r\n\0]/.test(item)) throw new ActionError(`the value of ${key} has more than one line`);
  }
  return value;
}

interface Files {
  readonly files: readonly PlacedFile[];
  readonly remove: readonly string[];
}

function tlsFiles(input: Input, { ssldir: own, transit }: Configuring): Files {
  const [certificate, ca, ssldir, sealed] = ['certificate', 'ca', 'ssldir', 'key'].map((key) => input.text(key)) as [
    string,
    string,
    string,
    string,
  ];
  const others = input.text('ecdh_public');
  if (sealed !== '' && others === '')
    throw new ActionError('a private key came without the ECDH key (ecdh_public) that it is read with');
  // As Choria has it: without all three there is nothing to write.
  if (certificate === '' || ca === '' || ssldir === '') return { files: [], remove: [] };
  if (!isAbsolute(ssldir) || /[\r\n\0]/.test(ssldir)) throw new ActionError('ssldir is no absolute path');
  const made = keys.currentKey(ssldir) ?? keys.currentKey(own);
  const key = sealed === '' ? made?.key : openKey(sealed, others, transit);
  if (!key)
    throw new ActionError(`there is no private key in ${ssldir} that a certificate could belong to; ask for gencsr first`);
  checkCertificates(certificate, ca, key);
  const keyPath = keys.keyFile(ssldir);
  const isInPlace = sealed === '' && made?.file === keyPath;
  const pem = sealed === '' ? (made?.pem ?? '') : key.export({ type: 'pkcs1', format: 'pem' }).toString();
  return {
    files: [
      ...(isInPlace ? [] : [{ path: keyPath, mode: 0o600, contents: pem }]),
      { path: keys.certificateFile(ssldir), mode: 0o644, contents: certificate },
      { path: keys.authoritiesFile(ssldir), mode: 0o644, contents: ca },
    ],
    remove: [keys.nextOf(keyPath), ...(sealed === '' ? [] : [keys.requestFile(ssldir)])],
  };
}

function openKey(sealed: string, others: string, transit: TransitKeys | undefined): KeyObject {
  if (!transit) throw new ActionError('a private key came before this node was asked for its ECDH key (jwt)');
  try {
    return createPrivateKey(openPrivateKey(sealed, sharedSecret(transit, others)).export({ type: 'pkcs1', format: 'pem' }));
  } catch (error) {
    throw new ActionError(`the private key can not be used: ${(error as Error).message}`);
  }
}

function checkCertificates(certificate: string, ca: string, key: KeyObject): void {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch (error) {
    throw new ActionError(`the certificate can not be read: ${(error as Error).message}`);
  }
  if (!leaf.checkPrivateKey(key)) throw new ActionError('the certificate does not belong to the private key of this node');
  if (new Date(leaf.validTo).getTime() <= Date.now())
    throw new ActionError(`the certificate expired at ${new Date(leaf.validTo).toISOString()}`);
  try {
    if (certificatesIn(ca).length === 0) throw new Error('it holds no certificate');
    for (const one of certificatesIn(ca)) new X509Certificate(one);
  } catch (error) {
    throw new ActionError(`the certificates of the authorities can not be read: ${(error as Error).message}`);
  }
}

function tokenFiles(token: string, folder: string): Files {
  if (token === '') return { files: [], remove: [] };
  if (/\s/.test(token.trim())) throw new ActionError('server_jwt is no token');
  const seed = keys.seedFile(folder);
  const next = keys.readIfThere(keys.nextOf(seed));
  return {
    files: [
      ...(next === undefined ? [] : [{ path: seed, mode: 0o600, contents: next }]),
      { path: keys.serverTokenFile(folder), mode: 0o600, contents: token.trim() },
    ],
    remove: [keys.nextOf(seed)],
  };
}

/** Given policies replace those of their kind, and action policies the whole folder, in which the others are. */
function policyFolders(policies: Record<'actions' | 'rego', Texts>, folder: string): PlacementPlan['folders'] {
  const actions = policyFiles(policies.actions, '.policy', 'action_policies');
  const rego = policyFiles(policies.rego, '.rego', 'opa_policies');
  const path = join(folder, 'policies');
  if (actions.length > 0)
    return [{ path, files: [...actions, ...rego.map((file) => ({ ...file, name: join('rego', file.name) }))] }];
  return rego.length > 0 ? [{ path: join(path, 'rego'), files: rego }] : [];
}

function policyFiles(policies: Texts, end: string, what: string): PlacementPlan['folders'][number]['files'] {
  return Object.entries(policies)
    .filter(([name, contents]) => name !== '' && contents !== '')
    .map(([name, contents]) => {
      if (!name.endsWith(end) || /[/\\\0]/.test(name) || name.startsWith('.'))
        throw new ActionError(`'${name.slice(0, 60)}' of ${what} is no name of a file that ends in ${end}`);
      return { name, mode: 0o400, contents };
    });
}

/** The file itself is replaced, and not a link to it. */
function resolveLink(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
