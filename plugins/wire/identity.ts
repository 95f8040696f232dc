// The name of this machine.

import { hostname } from 'node:os';

/** The configured identity, else the host name. */
export function machineIdentity(configured: string | undefined): string {
  return configured ?? hostname();
}
