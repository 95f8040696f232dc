// The auditor `chain`: records in a file that shows when somebody changed it.

import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lock } from 'proper-lockfile';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { readSigningKey } from '../wire/tokens/jwt.ts';
import { ChainFile, type ChainSpec } from './chain-file.ts';
import { anchorText } from './chain-format.ts';
import { type AuditRecord, onlySignatures } from './record.ts';
import {
  AuditError,
  type AuditorConfig,
  bytesOf,
  durationOf,
  fileProblems,
  problemsOf,
  type Section,
  sectionOf,
  textOf,
} from './section.ts';

const name = 'chain_auditor';
const usualIntervalMs = 60_000;
/** A lock of a process that was killed ends after this. */
const staleMs = 3_000;
const retries = { retries: 5, factor: 1, minTimeout: 1_000, maxTimeout: 1_000 };

export default definePlugin({
  kind: 'auditor',
  version: '1.0.0',
  create: (host) => {
    let opening: Promise<Open> | undefined;
    const chain = (): Promise<Open> => {
      opening ??= openChain(host).catch((error: unknown) => {
        opening = undefined;
        throw error;
      });
      return opening;
    };
    return {
      methods: {
        // Opened before the service starts, so that a chain that can't go on is told of then.
        'auditor/check': async () => {
          const problems = problemsOfSection(host);
          if (problems.length > 0) return { problems };
          return chain().then(
            () => ({ problems: [] }),
            (error: Error) => ({ problems: [error.message] }),
          );
        },
        'auditor/record': async ({ records }: { records: readonly AuditRecord[] }) => {
          await (await chain()).file.append(onlySignatures(records));
          return { written: records.length };
        },
      },
      shutdown: async () => {
        const open = await opening?.catch(() => undefined);
        await open?.file.close();
        await open?.release();
      },
    };
  },
});

interface Open {
  readonly file: ChainFile;
  readonly release: () => Promise<void>;
}

async function openChain(host: Host): Promise<Open> {
  const { intervalMs, ...spec } = readSpec(host);
  const release = await onlyOne(spec.file);
  try {
    const file = await ChainFile.open(spec);
    await host.timers.set({ id: 'checkpoint', everyMs: intervalMs }, () => sign(host, file, spec.file));
    return { file, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Logs often go to another machine: there, the place holds against whoever puts files from before back. */
async function sign(host: Host, chain: ChainFile, name: string): Promise<void> {
  try {
    const place = await chain.checkpoint();
    if (place) host.log.info(`the chain ${name} is signed, with ${anchorText(place)} as its anchor`);
  } catch (error) {
    host.log.error(`the chain could not be signed: ${(error as Error).message}`);
  }
}

/** Two that write to one chain would break it. @throws AuditError */
async function onlyOne(file: string): Promise<() => Promise<void>> {
  try {
    const lockfilePath = `${file}.lock`;
    const release = await lock(file, { realpath: false, lockfilePath, stale: staleMs, retries, onCompromised: () => undefined });
    return () => release().catch(() => undefined);
  } catch (error) {
    throw new AuditError(`${file} is written to by another service; each needs a chain of its own (${(error as Error).message})`);
  }
}

/** Every key is looked at, whatever is wrong with the others. */
function problemsOfSection(host: Host): string[] {
  const config = host.config as AuditorConfig;
  const looks: readonly ((section: Section) => Iterable<string>)[] = [
    (section) => fileProblems(name, textOf(section, name, 'logfile')),
    (section) => nothing(readKey(section)),
    (section) => nothing(bytesOf(section, name, 'max_size', 0)),
    (section) => nothing(durationOf(section, name, 'checkpoint_interval', usualIntervalMs)),
  ];
  const missing = problemsOf(() => nothing(sectionOf(config, name)));
  return missing.length > 0 ? missing : looks.flatMap((look) => problemsOf(() => look(sectionOf(config, name))));
}

/** What was read is as it should be. */
function nothing(_read: unknown): string[] {
  return [];
}

/** @throws AuditError, TokenError */
function readKey(section: Section): KeyObject {
  const keyFile = textOf(section, name, 'key');
  if (!existsSync(keyFile))
    throw new AuditError(`${name}.key: there is no file ${keyFile}; \`muster jwt keys ${keyFile} ${keyFile}.public\` makes one`);
  const { algorithm, key } = readSigningKey(keyFile);
  if (algorithm !== 'EdDSA') throw new AuditError(`${name}.key: ${keyFile} must hold the seed of an ed25519 key`);
  return key;
}

/** @throws AuditError, TokenError */
function readSpec(host: Host): ChainSpec & { readonly intervalMs: number } {
  const section = sectionOf(host.config as AuditorConfig, name);
  return {
    file: textOf(section, name, 'logfile'),
    key: readKey(section),
    maxBytes: bytesOf(section, name, 'max_size', 0),
    intervalMs: durationOf(section, name, 'checkpoint_interval', usualIntervalMs),
  };
}
