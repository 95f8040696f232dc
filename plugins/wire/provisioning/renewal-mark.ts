// The mark that a node leaves for its next start: that it wants to be provisioned anew although it has a configuration, or that
// it tried and went back to what it had.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type RenewalMark, validate } from '#schemas/muster/provisioning/v1/renewal_mark';
import { writeWhole } from '../whole-file.ts';

export type { RenewalMark };

export function renewalMarkFile(configFile: string): string {
  return join(dirname(configFile), '.muster-renewal.json');
}

/** Undefined if there is none, or none that can be read: it is no more than a wish. */
export function readRenewalMark(configFile: string): RenewalMark | undefined {
  const file = renewalMarkFile(configFile);
  if (!existsSync(file)) return undefined;
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return validate(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function writeRenewalMark(configFile: string, mark: RenewalMark): void {
  writeWhole(renewalMarkFile(configFile), `${JSON.stringify(mark)}\n`, 0o600);
}

export function removeRenewalMark(configFile: string): void {
  rmSync(renewalMarkFile(configFile), { force: true });
}
