// How a broker is joined to others: leaf nodes and gateways, read from Choria's keys. A remote's keys carry its name.

import { PluginError } from '../../core/sdk/typescript/index.ts';

/** A broker elsewhere. */
export interface Remote {
  readonly name: string;
  readonly urls: readonly string[];
  /** The files of this broker unless others are named; undefined without TLS. */
  readonly tls: RemoteTls | undefined;
}

export interface RemoteTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly verify: boolean;
}

export interface LeafRemote extends Remote {
  /** The account of this broker that the link belongs to. */
  readonly account: string;
  /** File with NATS credentials. */
  readonly credentials: string | undefined;
}

export interface Links {
  /** The cluster that this broker belongs to; gateways of others know it by this name. */
  readonly cluster: string;
  readonly leafnodes: { readonly port: number; readonly remotes: readonly LeafRemote[] } | undefined;
  readonly gateways: { readonly port: number; readonly remotes: readonly Remote[] } | undefined;
}

type Files = Pick<RemoteTls, 'cert' | 'key' | 'ca'>;
type Config = Readonly<Record<string, unknown>>;

const prefix = 'plugin.choria.network';

/** @throws PluginError that names the key to set or to correct */
export function readLinks(config: Config, files: Files): Links {
  const text = (key: string) => (typeof config[`${prefix}.${key}`] === 'string' ? String(config[`${prefix}.${key}`]) : undefined);
  const names = (key: string) => (config[`${prefix}.${key}`] ?? []) as readonly string[];
  const port = (key: string) => Number(config[`${prefix}.${key}`] ?? 0);
  const remote = (kind: 'leafnode_remote' | 'gateway_remote', name: string, urlKey: 'url' | 'urls', scheme: string): Remote => {
    if (!/^[\w-]+$/.test(name))
      throw refused(
        `'${name}' in ${prefix}.${kind}s is no name of a remote; it may have letters, digits, dashes and underscores`,
      );
    const urls = readUrls(text(`${kind}.${name}.${urlKey}`) ?? '', scheme);
    if (urls.length === 0)
      throw refused(
        `the remote ${name} has no address; set ${prefix}.${kind}.${name}.${urlKey} to host:port, or to several with commas`,
      );
    const own = {
      cert: text(`${kind}.${name}.tls.cert`),
      key: text(`${kind}.${name}.tls.key`),
      ca: text(`${kind}.${name}.tls.ca`),
    };
    const given = Object.values(own).filter((file) => file !== undefined);
    if (given.length > 0 && given.length < 3)
      throw refused(`the remote ${name} needs all of ${prefix}.${kind}.${name}.tls.cert, .key and .ca, or none of them`);
    const chosen = given.length === 3 ? (own as Files) : files;
    const verify = !isOff(text(`${kind}.${name}.tls.verify`));
    return { name, urls, tls: isOn(text(`${kind}.${name}.tls.disable`)) ? undefined : { ...chosen, verify } };
  };
  const leafPort = port('leafnode_port');
  const leafRemotes = names('leafnode_remotes').map((name) => ({
    ...remote('leafnode_remote', name, 'url', 'nats-leaf'),
    account: text(`leafnode_remote.${name}.account`) ?? 'choria',
    credentials: text(`leafnode_remote.${name}.credentials`),
  }));
  const gatewayPort = port('gateway_port');
  const gatewayRemotes = names('gateway_remotes').map((name) => remote('gateway_remote', name, 'urls', 'nats'));
  if (gatewayPort === 0 && gatewayRemotes.length > 0)
    throw refused(`gateways need a port of their own, which their remotes connect to; set ${prefix}.gateway_port`);
  return {
    cluster: text('gateway_name') ?? 'CHORIA',
    leafnodes: leafPort > 0 || leafRemotes.length > 0 ? { port: leafPort, remotes: leafRemotes } : undefined,
    gateways: gatewayRemotes.length > 0 ? { port: gatewayPort, remotes: gatewayRemotes } : undefined,
  };
}

function readUrls(text: string, scheme: string): string[] {
  return text
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '')
    .map((url) => (url.includes('://') ? url : `${scheme}://${url}`));
}

function isOff(text: string | undefined): boolean {
  return /^(0|no|false|off)$/i.test(text ?? '');
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && !isOff(text);
}

function refused(message: string): PluginError {
  return new PluginError('UNAVAILABLE', message);
}
