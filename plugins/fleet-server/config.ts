// The configuration of a node, as the manifest types it.

import type { BrokerConfig } from '../wire/brokers.ts';
import { defaultCollectives, type SecurityChoice } from '../wire/security-plugin.ts';

export interface NodeConfig extends BrokerConfig, SecurityChoice {
  readonly collectives: readonly string[];
  readonly main_collective?: string;
  readonly ttl: number;
  readonly classesfile?: string;
  readonly 'plugin.yaml'?: readonly string[];
  readonly rpcauthorization: boolean;
  readonly rpcauthprovider: string;
  readonly rpcaudit: boolean;
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
  readonly 'plugin.choria.legacy_lifecycle_format': boolean;
  readonly 'plugin.choria.stats_port': number;
  readonly 'plugin.muster.otlp_endpoint'?: string;
  readonly 'plugin.choria.status_file_path'?: string;
  /** Seconds. */
  readonly 'plugin.choria.status_update_interval': number;
  /** Names of plugins of kind registration. */
  readonly registration?: readonly string[];
  /** Seconds. */
  readonly registerinterval: number;
  readonly registration_splay: boolean;
  readonly registration_collective?: string;
  readonly 'plugin.choria.registration.size_trigger': number;
  /** Seconds. */
  readonly 'plugin.choria.registration.size_interval': number;
  readonly soft_shutdown_timeout: number;
  /** Whether this node is being provisioned; decided at its start. */
  readonly 'plugin.muster.provisioning.active': boolean;
  readonly 'plugin.muster.provisioning.token'?: string;
  /** Domain whose SRV records name the brokers of the provisioning network. */
  readonly 'plugin.muster.provisioning.srv'?: string;
  /** Name of a plugin that finds them. */
  readonly 'plugin.muster.provisioning.target'?: string;
}

/** What the manifest can not say: a default that depends on another key. */
export function nodeConfig(values: object): NodeConfig {
  const config = values as NodeConfig;
  return { ...config, collectives: config.collectives ?? defaultCollectives(config) };
}

export function mainCollective(config: NodeConfig): string {
  return config.main_collective ?? config.collectives[0] ?? 'mcollective';
}

export function isProvisioning(config: NodeConfig): boolean {
  return config['plugin.muster.provisioning.active'];
}
