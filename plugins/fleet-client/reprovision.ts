// Asks nodes to go back into provisioning, and tells by when they were started that they have been away.

import { readFileSync } from 'node:fs';
import { readProvisioningToken } from '../wire/tokens/provisioning.ts';
import type { FleetClient } from './client.ts';
import { callRpc } from './request.ts';

const agent = 'choria_provision';
/** Of the agent, in seconds. */
const agentTimeout = 20;
const lookMs = 3_000;

/** The secret that the agent asks for, out of the token that nodes were made with. @throws Error that names the file */
export async function readSecret(file: string): Promise<string> {
  try {
    return (await readProvisioningToken(readFileSync(file, 'utf8'))).cht;
  } catch (error) {
    throw new Error(`${file} is no provisioning token: ${(error as Error).message}`, { cause: error });
  }
}

export interface ReprovisionOptions {
  readonly secret: string;
  readonly collective?: string;
  readonly signal: AbortSignal;
}

export class Reprovisioning {
  readonly #client: FleetClient;
  readonly #options: ReprovisionOptions;
  /** Which process each node was. */
  readonly #before = new Map<string, string>();

  constructor(client: FleetClient, options: ReprovisionOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** @returns why some did not go. Who was there and does not answer may be on its way. */
  async send(group: readonly string[]): Promise<Map<string, string>> {
    const there = await this.#processes(group);
    for (const [identity, process] of there) this.#before.set(identity, process);
    const silent = group.filter((identity) => !there.has(identity)).map((identity) => [identity, 'it does not answer'] as const);
    return new Map([...silent, ...(await this.#refusals([...there.keys()]))]);
  }

  async #refusals(group: readonly string[]): Promise<(readonly [identity: string, reason: string])[]> {
    if (group.length === 0) return [];
    const { secret, signal, collective } = this.#options;
    const { replies } = await callRpc(this.#client, {
      agent,
      action: 'reprovision',
      data: { token: secret },
      agentTimeout,
      targets: group,
      signal,
      ...(collective !== undefined && { collective }),
    });
    return replies.flatMap(({ sender, statuscode, statusmsg }) => (statuscode === 0 ? [] : [[sender, statusmsg] as const]));
  }

  /** Those that answer and are another process than before. */
  async back(away: readonly string[]): Promise<string[]> {
    const processes = await this.#processes(away);
    return [...processes].flatMap(([identity, process]) => (this.#before.get(identity) === process ? [] : [identity]));
  }

  async #processes(nodes: readonly string[]): Promise<Map<string, string>> {
    const { signal, collective } = this.#options;
    const { replies } = await callRpc(this.#client, {
      agent: 'rpcutil',
      action: 'daemon_stats',
      data: {},
      targets: nodes,
      timeoutMs: lookMs,
      signal,
      ...(collective !== undefined && { collective }),
    });
    return new Map(
      replies.flatMap(({ sender, statuscode, data }) => {
        const { starttime, pid } = data as { readonly starttime?: unknown; readonly pid?: unknown };
        return statuscode === 0 ? [[sender, `${starttime} ${pid}`] as const] : [];
      }),
    );
  }
}
