// Addresses of brokers.

/** `host:port` or URLs as client libraries want them. */
export function brokerUrls(hosts: readonly string[]): string[] {
  return hosts.map((host) => (host.includes('://') ? host : `nats://${host}`));
}
