// What the JSON file of the service says of logins, and of the tokens that come of them.

import { type IssuingSettings, validate as validateIssuing } from '#schemas/muster/aaa/v1/issuing';
import { type LoginSettings, validate } from '#schemas/muster/aaa/v1/login_settings';
import { AaaError } from '../../wire/aaa/errors.ts';
import { goDurationSeconds } from '../../wire/aaa/go-duration.ts';
import { AaaSettingsError, readSection } from '../../wire/aaa/settings.ts';
import type { LimitSettings } from './limits.ts';
import type { SecondFactorSettings } from './second-factor.ts';

export interface Issuing {
  readonly validitySeconds: number;
  readonly keys: readonly string[];
  readonly token: string | undefined;
}

export interface Settings {
  readonly maxSessionSeconds: number;
  readonly limits: LimitSettings;
  readonly secondFactor: SecondFactorSettings | undefined;
  /** By name of authenticator. */
  readonly issuing: ReadonlyMap<string, Issuing>;
}

/** What Choria makes of a duration of zero. */
const zeroSeconds = 3_600;

export interface FoundSettings {
  /** What can be used of them, so that the rest can be looked at. */
  readonly settings: Settings;
  readonly problems: readonly string[];
}

/** @param maxSession how long tokens are refreshed after a login. @throws AaaSettingsError with all problems */
export function readLoginSettings(file: string, authenticators: readonly string[], maxSession?: string): Settings {
  const { settings, problems } = findLoginSettings(file, authenticators, maxSession);
  if (problems.length > 0) throw new AaaSettingsError(problems);
  return settings;
}

/** @throws AaaSettingsError for a file that is no JSON */
export function findLoginSettings(file: string, authenticators: readonly string[], maxSession = '12h'): FoundSettings {
  const problems: string[] = [];
  const noted = <T>(look: () => T, instead: T): T => {
    try {
      return look();
    } catch (error) {
      if (!(error instanceof AaaError || error instanceof AaaSettingsError)) throw error;
      problems.push(error.message);
      return instead;
    }
  };
  const broken: LoginSettings = {};
  const login = noted(() => loginSection(file), broken);
  const { second_factor: factor, failures_by_user: byUser = 10, failures_by_address: byAddress = 100 } = login;
  const settings = {
    // Of one that is no duration the settings of the service tell.
    maxSessionSeconds: goDurationSeconds(maxSession) ?? 0,
    limits: {
      failuresByUser: byUser,
      failuresByAddress: byAddress,
      windowMs: noted(() => duration(`${file}: login.window`, login.window ?? '15m'), 0) * 1_000,
      loginsByAddress: login.logins_by_address ?? 600,
    },
    secondFactor: factor && { file: factor.file, key: factor.key, required: factor.required ?? false },
    issuing: new Map(
      authenticators.flatMap((name) => {
        const issuing = noted(() => issuingOf(file, name, login), undefined);
        return issuing ? [[name, issuing] as const] : [];
      }),
    ),
  };
  // What is missing in one that can not be read may stand in it.
  return { settings, problems: login === broken ? problems.filter((text) => !/ is not set; /.test(text)) : problems };
}

function loginSection(file: string): LoginSettings {
  const section = readSection(file, 'login') ?? {};
  if (validate(section)) return section;
  const [error] = validate.errors ?? [];
  throw settingsError(`${file}: login${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
}

/** Each authenticator has a key and a validity of its own, or those that all have. */
function issuingOf(file: string, authenticator: string, all: LoginSettings): Issuing {
  const name = `${authenticator}_authenticator`;
  const section = readSection(file, name) ?? {};
  if (!validateIssuing(section)) {
    const [error] = validateIssuing.errors ?? [];
    throw settingsError(`${file}: ${name}${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
  }
  const own: IssuingSettings = section;
  const hasOwnKey = own.signing_key !== undefined;
  const key = own.signing_key ?? all.signing_key;
  if (key === undefined || key.length === 0)
    throw settingsError(`${file}: ${name}.signing_key is not set; it names the file with the key that tokens are signed with`);
  const validity = own.validity ?? all.validity;
  if (validity === undefined)
    throw settingsError(`${file}: ${name}.validity is not set; it says how long tokens are good, such as 2h`);
  return {
    validitySeconds: duration(`${file}: ${name}.validity`, validity) || zeroSeconds,
    keys: typeof key === 'string' ? [key] : key,
    token: (hasOwnKey ? own.signing_token : (own.signing_token ?? all.signing_token)) || undefined,
  };
}

function duration(key: string, text: string): number {
  const seconds = goDurationSeconds(text);
  if (seconds !== undefined) return Math.floor(seconds);
  throw settingsError(`${key} is '${text.slice(0, 40)}', which is no duration such as 90m or 1h30m`);
}

function settingsError(message: string): AaaError {
  return new AaaError('AAA_SETTINGS', message);
}
