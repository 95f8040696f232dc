// What a provisioner is told: keys of the configuration, and those of a YAML file of Choria's provisioner where they are not set.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type BrokerConfig, brokerUrls } from '../wire/brokers.ts';
import { readProvisionerFile } from '../wire/provisioning/choria-file.ts';
import { clientNames } from '../wire/provisioning/policy.ts';
import { compilePattern, type Pattern, patternSource } from '../wire/regexp.ts';
import { ProvisionerError } from './errors.ts';

export interface ProvisionerConfig extends BrokerConfig {
  readonly identity?: string;
  readonly 'plugin.choria.network.connect_timeout'?: number;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
  readonly 'plugin.muster.provisioning.deny'?: readonly string[];
  readonly 'plugin.muster.provisioning.helper'?: string;
  readonly 'plugin.provisioner.config'?: string;
}

export interface Settings {
  readonly hook: string;
  readonly workers: number;
  /** Attempts in a second; 0 for no limit. */
  readonly rate: number;
  readonly intervalMs: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly token: string;
  readonly component: string;
  readonly insecure: boolean;
  readonly site: string | undefined;
  readonly monitorPort: number;
  readonly brokerPassword: string | undefined;
  readonly deny: readonly Pattern[];
  readonly verifyKey: string | undefined;
  readonly signingKey: string | undefined;
  readonly signingToken: string | undefined;
  readonly serverValidityMs: number;
  readonly elects: boolean;
  readonly election: 'muster' | 'choria';
  readonly upgradesRepository: string | undefined;
  readonly upgradesOptional: boolean;
  readonly features: { readonly pki: boolean; readonly jwt: boolean; readonly ed25519: boolean; readonly upgrades: boolean };
  readonly overlayUrls: readonly string[];
  readonly upTimeoutMs: number;
  /** Brokers that keep a copy of what it writes. */
  readonly replicas: number;
}

const minuteMs = 60_000;
const yearMs = 365 * 86_400_000;
const retryMinMs = 5_000;
const upTimeoutMs = 60_000;
const workersEach = 16;

/** @throws ProvisionerError `PROVISIONER_CONFIG` naming the key */
export function readSettings(config: ProvisionerConfig): Settings {
  const value = valuesOf(config);
  const text = (name: string) => value(name) as string | undefined;
  const number = (name: string, preset: number) => (value(name) as number | undefined) ?? preset;
  const flag = (name: string) => value(name) === true;
  const helper = text('helper') ?? config['plugin.muster.provisioning.helper'];
  const intervalMs = number('interval', minuteMs);
  const ed25519 = flag('features.ed25519');
  const settings: Settings = {
    hook: text('hook') ?? (helper === undefined ? 'built-in-ca' : 'helper'),
    workers: number('workers', 0) || workersEach * availableParallelism(),
    rate: number('rate', 0),
    intervalMs,
    retryMinMs: number('retry_min', retryMinMs),
    retryMaxMs: number('retry_max', intervalMs),
    token: text('token') ?? '',
    component: text('lifecycle_component') ?? 'provision_mode_server',
    insecure: flag('choria_insecure'),
    site: text('site'),
    monitorPort: number('monitor_port', 0),
    brokerPassword: text('broker_provisioning_password'),
    deny: patternsOf(
      (value('cert_deny_list') as string[] | undefined) ?? config['plugin.muster.provisioning.deny'] ?? clientNames,
    ),
    verifyKey: text('jwt_verify_cert'),
    signingKey: text('jwt_signing_key'),
    signingToken: text('jwt_signing_token'),
    serverValidityMs: number('server_jwt_validity', yearMs),
    elects: flag('leader_election'),
    election: text('election') === 'choria' ? 'choria' : 'muster',
    upgradesRepository: text('upgrades_repository'),
    upgradesOptional: flag('upgrades_optional'),
    features: {
      pki: flag('features.pki'),
      // A token is what an ed25519 key is given on.
      jwt: flag('features.jwt') || ed25519,
      ed25519,
      upgrades: flag('features.upgrades'),
    },
    overlayUrls: brokerUrls((value('overlay_hosts') as string[] | undefined) ?? []),
    upTimeoutMs: number('up_timeout', upTimeoutMs),
    replicas: number('replicas', 1),
  };
  check(settings);
  return settings;
}

function valuesOf(config: ProvisionerConfig): (name: string) => unknown {
  const file = config['plugin.provisioner.config'];
  const fromFile = file === undefined ? {} : readFile(file);
  const fromConfig: Readonly<Record<string, unknown>> = { ...config };
  return (name) => fromConfig[`plugin.provisioner.${name}`] ?? fromFile[name];
}

function readFile(file: string): Readonly<Record<string, unknown>> {
  try {
    return readProvisionerFile(readFileSync(file, 'utf8'));
  } catch (error) {
    throw wrong(`plugin.provisioner.config: ${file} can not be used: ${(error as Error).message}`, error);
  }
}

function check(settings: Settings): void {
  const { features, intervalMs, component, verifyKey, signingKey, upgradesRepository, upgradesOptional } = settings;
  if (settings.workers < 1) throw wrong('plugin.provisioner.workers has to be 1 or more, or 0 for the default');
  if (settings.replicas < 1 || settings.replicas > 5) throw wrong('plugin.provisioner.replicas has to be from 1 to 5');
  if (settings.rate < 0) throw wrong('plugin.provisioner.rate has to be 0 or more');
  if (intervalMs < minuteMs) throw wrong('plugin.provisioner.interval has to be 1m or more');
  if (settings.retryMinMs < 1 || settings.retryMaxMs < settings.retryMinMs)
    throw wrong('plugin.provisioner.retry_max has to be retry_min or more, and that more than nothing');
  if (component === '' || /[.>*\s]/.test(component))
    throw wrong(`plugin.provisioner.lifecycle_component '${component}' must be one word of a subject, without . > and *`);
  if (features.pki && features.ed25519)
    throw wrong('plugin.provisioner.features.pki and plugin.provisioner.features.ed25519 exclude each other; choose one');
  if (features.jwt && verifyKey === undefined)
    throw wrong(
      'plugin.provisioner.features.jwt needs plugin.provisioner.jwt_verify_cert, the key that tokens are verified with',
    );
  if (features.ed25519 && signingKey === undefined)
    throw wrong(
      'plugin.provisioner.features.ed25519 needs plugin.provisioner.jwt_signing_key, the key that tokens are signed with',
    );
  if (features.upgrades && upgradesRepository === undefined && !upgradesOptional)
    throw wrong('plugin.provisioner.features.upgrades needs plugin.provisioner.upgrades_repository');
}

function patternsOf(sources: readonly string[]): Pattern[] {
  return sources.map((source) => {
    const pattern = compilePattern(patternSource(source) ?? source);
    if (!pattern) throw wrong(`plugin.provisioner.cert_deny_list: '${source}' is no regular expression`);
    return pattern;
  });
}

function wrong(message: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('PROVISIONER_CONFIG', message, { cause });
}
