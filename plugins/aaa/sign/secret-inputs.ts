// Which inputs of agents are secret, and requests without them, as they may be recorded.

import { existsSync, readdirSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { readDdlDocument, secretInputsOf } from '../../wire/ddl-secrets.ts';
import { decodePayload } from '../../wire/rpc.ts';
import type { InnerRequest } from './request.ts';

const mask = '(masked)';
const own = fileURLToPath(new URL('../../../ddl/agents/', import.meta.url));

type Secrets = ReadonlyMap<string, ReadonlySet<string>>;

/** DDLs are those of the folders in `libdir`, of bundles here, and of this version, where an agent is in several in that order. */
export class SecretInputs {
  readonly #host: Host;
  readonly #libdirs: readonly string[];
  /** By agent, then by action. */
  #agents: ReadonlyMap<string, Secrets> = new Map();

  constructor(host: Host, libdirs: readonly string[]) {
    this.#host = host;
    this.#libdirs = libdirs;
  }

  /** Looks at all DDLs anew. One that can't be read is told of and left out. */
  async refresh(): Promise<void> {
    const agents = new Map<string, Secrets>();
    for (const file of [own, ...this.#folders()].flatMap(filesIn)) this.#take(agents, nameOf(file), () => readDdlDocument(file));
    for (const { name, resources } of await this.#host.plugins.list('agent')) {
      if (resources.ddl === undefined) continue;
      this.#take(agents, name, () => resources.ddl, namesIn(resources.input));
    }
    this.#agents = agents;
  }

  /** The request as it may be written down. */
  masked({ version, fields }: InnerRequest, request: object): object {
    if (this.#agents.size === 0) return request;
    const body = this.#maskedBody(version === 1 ? decodePayload(fields.body) : fields.body, fields.agent);
    if (body === undefined) return request;
    return { ...request, message: version === 1 ? body : Buffer.from(body).toString('base64') };
  }

  /** Undefined if there is nothing to mask. Refused requests may name another agent in their body, and write keys in other ways. */
  #maskedBody(body: string, agent: string): string | undefined {
    let value: unknown;
    try {
      value = JSON.parse(body);
    } catch {
      return undefined;
    }
    if (!isObject(value)) return undefined;
    const { action, agent: other } = value;
    const hidden = [agent, String(other)].flatMap((name) => {
      const secrets = this.#agents.get(name);
      return [...(secrets?.get(String(action)) ?? secrets?.get('*') ?? [])];
    });
    if (hidden.length === 0) return undefined;
    const shown = Object.entries(value).map(([key, item]) =>
      key.toLowerCase() === 'data' && isObject(item) ? [key, withoutKeys(item, hidden)] : [key, item],
    );
    return JSON.stringify(Object.fromEntries(shown));
  }

  #folders(): string[] {
    return this.#libdirs.flatMap((folder) => [join(folder, 'choria', 'agent'), join(folder, 'mcollective', 'agent')]);
  }

  #take(agents: Map<string, Secrets>, agent: string, load: () => unknown, always: readonly string[] = []): void {
    try {
      const secrets = secretInputsOf(load(), always);
      if (secrets.size > 0) agents.set(agent, secrets);
    } catch (error) {
      this.#host.log.warn(
        `the DDL of ${agent} can not be read, so that nothing of its requests is masked: ${(error as Error).message}`,
      );
    }
  }
}

function withoutKeys(data: Readonly<Record<string, unknown>>, hidden: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).map(([key, item]) => [key, hidden.includes(key.toLowerCase()) ? mask : item]));
}

function namesIn(input: unknown): readonly string[] {
  return isObject(input) && Array.isArray(input.secrets) ? input.secrets.filter((name) => typeof name === 'string') : [];
}

function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => ['.json', '.yaml', '.yml'].includes(extname(file)))
    .sort()
    .map((file) => join(folder, file));
}

function nameOf(file: string): string {
  return basename(file, extname(file));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
