// The configuration of a client, as the manifest types it.

import type { BrokerConfig } from '../wire/brokers.ts';
import { defaultCollectives, type SecurityChoice } from '../wire/security-plugin.ts';

export interface ClientConfig extends BrokerConfig, SecurityChoice {
  readonly collectives: readonly string[];
  readonly main_collective?: string;
  readonly ttl: number;
  readonly libdir?: readonly string[];
  readonly 'plugin.choria.agent_provider.mcorpc.libdir'?: readonly string[];
  /** Seconds. */
  readonly discovery_timeout: number;
  readonly default_discovery_method: string;
  /** `key=value` each. */
  readonly default_discovery_options?: readonly string[];
  readonly rpclimitmethod: 'first' | 'random';
  readonly 'plugin.choria.network.connect_timeout': number;
  readonly 'plugin.choria.discovery.broadcast.windowed_timeout': boolean;
  /** Milliseconds. */
  readonly 'plugin.muster.discovery.window': number;
  /** Milliseconds. */
  readonly 'plugin.muster.discovery.source_timeout': number;
  readonly 'plugin.choria.require_client_filter': boolean;
  readonly 'plugin.choria.stats_port': number;
  readonly 'plugin.muster.otlp_endpoint'?: string;
  readonly 'plugin.choria.federation.collectives'?: readonly string[];
  readonly 'plugin.nats.user'?: string;
  readonly 'plugin.nats.pass'?: string;
}

/** What the manifest can not say: a default that depends on another key. */
export function clientConfig(values: object): ClientConfig {
  const config = values as ClientConfig;
  return { ...config, collectives: config.collectives ?? defaultCollectives(config) };
}

/** Folders with DDLs, in the order in which they are looked through. */
export function libdirsOf(config: ClientConfig): readonly string[] {
  return [...(config.libdir ?? []), ...(config['plugin.choria.agent_provider.mcorpc.libdir'] ?? [])];
}
