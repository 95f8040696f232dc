// What a user gets by the groups that he is in, whichever directory says so.

import { readFileSync } from 'node:fs';
import { type Grant, type GroupGrants, validate } from '#schemas/muster/aaa/v1/grants';
import { AaaError } from '../wire/aaa/errors.ts';
import { goDurationSeconds } from '../wire/aaa/go-duration.ts';
import type { LoggedIn } from './user.ts';

export interface Grants {
  readonly groups: GroupGrants;
  /** What everybody gets whom the directory knows; undefined if one has to be in a group. */
  readonly everybody: Grant | undefined;
}

/** @param where for errors, such as the section. @throws AaaError `AAA_SETTINGS` */
export function readGrants(groups: unknown, everybody: unknown, where: string): Grants {
  const all = { ...(everybody === undefined ? {} : { everybody }) };
  const checked = checkedGrants(groups ?? {}, `${where}.groups`);
  return { groups: checked, everybody: checkedGrants(all, where).everybody };
}

/** Those of all groups together; undefined if there is none for this user. @throws Error for a policy that can not be read */
export function granted({ groups, everybody }: Grants, memberOf: readonly string[]): Omit<LoggedIn, 'callerid'> | undefined {
  const names = new Set(memberOf);
  // In the order of the settings, so that a directory can not choose which policy counts.
  const found = Object.entries(groups).flatMap(([name, grant]) => (names.has(name) ? [grant] : []));
  const all = everybody ? [...found, everybody] : found;
  if (all.length === 0) return undefined;
  const policy = all.map(policyOf).find((text) => text !== undefined);
  const validities = all.flatMap(({ validity }) => (validity ? [goDurationSeconds(validity) ?? 0] : []));
  const first = <K extends 'organization' | 'tenant'>(key: K) => all.find((grant) => grant[key])?.[key];
  const [organization, tenant] = [first('organization'), first('tenant')];
  const agents = [...new Set(all.flatMap((grant) => grant.agents ?? []))];
  const permissions = all.flatMap((grant) => Object.entries(grant.permissions ?? {})).filter(([, value]) => value);
  return {
    agents,
    permissions: Object.fromEntries(permissions),
    properties: Object.assign({}, ...all.map((grant) => grant.properties ?? {}).reverse()) as Record<string, string>,
    ...(policy !== undefined && { opaPolicy: policy }),
    ...(organization && { ou: organization }),
    ...(tenant && { tenant }),
    ...(validities.length > 0 && { validitySeconds: Math.max(1, Math.floor(Math.min(...validities))) }),
    ...(all.some((grant) => grant.second_factor) && { secondFactor: true }),
  };
}

function policyOf({ opa_policy: text, opa_policy_file: file }: Grant): string | undefined {
  return text || (file ? readFileSync(file, 'utf8') : undefined);
}

function checkedGrants(value: unknown, where: string): GroupGrants {
  if (!validate(value)) {
    const [error] = validate.errors ?? [];
    throw new AaaError('AAA_SETTINGS', `${where}${error?.instancePath.replaceAll('/', '.')} ${error?.message ?? 'does not fit'}`);
  }
  for (const [name, { validity }] of Object.entries(value))
    if (validity && !goDurationSeconds(validity))
      throw new AaaError('AAA_SETTINGS', `${where}.${name}.validity is '${validity}', which is no duration such as 30m or 8h`);
  return value;
}
