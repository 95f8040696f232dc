// The name of a machine that nobody has named: with its domain, if the resolver knows it, since that is what its certificate is for.

import { lookup, lookupService } from 'node:dns/promises';
import { hostname } from 'node:os';

const patienceMs = 2_000;
const anyPort = 0;

/** The host name; one without a domain is completed by what its own address is called. */
export async function fullHostName(name = hostname()): Promise<string> {
  if (name.includes('.')) return name;
  return Promise.race([complete(name), new Promise<string>((resolve) => setTimeout(resolve, patienceMs, name).unref())]);
}

async function complete(name: string): Promise<string> {
  try {
    const { address } = await lookup(name);
    const { hostname: full } = await lookupService(address, anyPort);
    return full.toLowerCase().startsWith(`${name.toLowerCase()}.`) ? full.replace(/\.$/, '') : name;
  } catch {
    return name;
  }
}
