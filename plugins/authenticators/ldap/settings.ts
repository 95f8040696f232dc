// Section `ldap_authenticator`: which directory, how users and groups are found there, and what groups get.

import { readFileSync } from 'node:fs';
import { type LdapSettings, validate } from '#schemas/muster/aaa/v1/ldap';
import { AaaError } from '../../wire/aaa/errors.ts';
import { listOf, readSection } from '../../wire/aaa/settings.ts';
import { type Grants, readGrants } from '../grants.ts';
import type { DirectoryOptions } from './directory.ts';

const section = 'ldap_authenticator';

export interface Ldap {
  readonly directory: DirectoryOptions;
  /** Who searches, where somebody does. */
  readonly searcher: { readonly dn: string; readonly password: string } | undefined;
  readonly userDn: string | undefined;
  readonly userBase: string;
  readonly userFilter: string;
  readonly nameAttribute: string;
  readonly groupBase: string | undefined;
  readonly groupFilter: string;
  readonly groupName: string;
  readonly memberOf: string | undefined;
  readonly grants: Grants;
}

/** @throws AaaError `AAA_SETTINGS` */
export function readLdap(file: unknown): Ldap {
  if (typeof file !== 'string') throw problem('plugin.aaa.config is not set');
  const settings = readSection(file, section) ?? {};
  if (!validate(settings)) {
    const [error] = validate.errors ?? [];
    throw problem(`${file}: ${section}${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
  }
  const where = `${file}: ${section}`;
  const { user_dn: userDn, user_base: userBase, group_base: groupBase, member_of: memberOf } = settings;
  if ((userDn === undefined) === (userBase === undefined)) throw problem(`${where} needs either user_base or user_dn`);
  const userFilter = settings.user_filter ?? '(uid={username})';
  for (const [key, text] of Object.entries({ user_dn: userDn, user_filter: userDn === undefined ? userFilter : undefined }))
    if (text?.includes('{username}') === false) throw problem(`${where}.${key} does not say where {username} stands`);
  return {
    directory: directoryOf(settings, where),
    searcher: searcherOf(settings, where),
    userDn,
    userBase: userBase ?? '',
    userFilter,
    nameAttribute: settings.name_attribute ?? 'uid',
    groupBase,
    groupFilter: settings.group_filter ?? '(member={dn})',
    groupName: settings.group_name ?? 'cn',
    memberOf,
    grants: readGrants(settings.groups, settings.everybody, where),
  };
}

function directoryOf({ url, start_tls: startTls = false, ca }: LdapSettings, where: string): DirectoryOptions {
  const urls = listOf(url);
  for (const text of urls) {
    const { protocol = '', hostname = '' } = URL.canParse(text) ? new URL(text) : {};
    if (protocol !== 'ldap:' && protocol !== 'ldaps:')
      throw problem(`${where}.url is '${text}', and must begin with ldap:// or ldaps://`);
    const isHere = /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname);
    if (protocol === 'ldap:' && !startTls && !isHere)
      throw problem(`${where}.url is ${text}, where passwords could be read on their way; use ldaps://, or set start_tls`);
  }
  return { urls, startTls, ca: ca === undefined ? undefined : read(ca, `${where}.ca`) };
}

function searcherOf({ bind_dn: dn, bind_password_file: file }: LdapSettings, where: string): Ldap['searcher'] {
  if (dn === undefined) return undefined;
  if (file === undefined) throw problem(`${where}.bind_dn needs bind_password_file, a file with its password`);
  const password = read(file, `${where}.bind_password_file`).replace(/\r?\n$/, '');
  if (password === '') throw problem(`${where}.bind_password_file: ${file} is empty`);
  return { dn, password };
}

function read(file: string, key: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new AaaError('AAA_SETTINGS', `${key}: ${(error as Error).message}`, { cause: error });
  }
}

function problem(message: string): AaaError {
  return new AaaError('AAA_SETTINGS', message);
}
