// Which plugin of kind security a process has: the one that is named, or the one of the provider. One process speaks one
// version of the protocol.

export interface SecurityChoice {
  /** Name of the plugin. */
  readonly 'plugin.muster.security'?: string;
  readonly 'plugin.security.provider'?: string;
}

/** Choria's provider `choria` is protocol v2, all others are v1. */
export function securityPlugin(config: SecurityChoice): string {
  return config['plugin.muster.security'] ?? (isV2(config) ? 'jwt' : 'x509');
}

/** Collectives of whoever has configured none. */
export function defaultCollectives(config: SecurityChoice): readonly string[] {
  return [isV2(config) ? 'choria' : 'mcollective'];
}

function isV2(config: SecurityChoice): boolean {
  return config['plugin.security.provider']?.toLowerCase() === 'choria';
}
