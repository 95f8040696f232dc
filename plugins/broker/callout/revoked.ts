// Tokens that were revoked, at the port for tokens: who shows one is refused, and who did before it was revoked is cut off.

import type { Host } from '../../../core/sdk/typescript/index.ts';
import type { TrustAnchors } from '../../wire/tokens/anchors.ts';
import type { ClientClaims } from '../../wire/tokens/client.ts';
import { followLater, newRevocations } from '../../wire/tokens/follow-revocations.ts';
import type { Revocations } from '../../wire/tokens/revocations.ts';

export interface RevokedOptions {
  /** To the fleet's broker, where revocations are. */
  readonly connection: string;
  /** To the system account of the server whose connections these are. */
  readonly system: string;
  readonly trust: TrustAnchors;
  /** What the server tells of its connections. */
  readonly connections: () => Promise<{ readonly server: string; readonly open: ReadonlySet<number> }>;
}

interface Holder {
  readonly claims: ClientClaims | undefined;
  readonly since: number;
}

const lookMs = 5_000;
const sweepMs = 1_000;
/** A connection that was granted is among the open ones after this, or never. */
const arrivalMs = 60_000;
/** At once, since all of them come back. */
const mostStrangers = 200;

export class RevokedHolders {
  readonly #host: Host;
  readonly #options: RevokedOptions;
  readonly #revocations: Revocations;
  readonly #holders = new Map<number, Holder>();
  #server = '';
  #isNew = false;

  constructor(host: Host, options: RevokedOptions) {
    this.#host = host;
    this.#options = options;
    const onTaken = () => {
      this.#isNew = true;
    };
    this.#revocations = newRevocations(host, { trust: () => options.trust, onTaken });
  }

  /** Over a connection that is open, or will be. */
  async start(): Promise<void> {
    const { connection } = this.#options;
    await followLater(this.#host, connection, this.#revocations, (bucket) => bucket.get('jti.none'), lookMs);
    await this.#host.timers.set({ id: 'revoked-holders', everyMs: sweepMs }, () => this.#sweep());
  }

  /** Why it is revoked; undefined if it is not. */
  reason(claims: ClientClaims): string | undefined {
    return this.#revocations.revoked(claims);
  }

  /** @param claims of a user; nodes have none that is revoked */
  granted(server: string, connection: number, claims: ClientClaims | undefined): void {
    // Numbers of connections belong to one life of the server.
    if (server !== this.#server) this.#holders.clear();
    this.#server = server;
    this.#holders.set(connection, { claims, since: Date.now() });
  }

  ended(server: string, connection: number): void {
    if (server === this.#server) this.#holders.delete(connection);
  }

  async #sweep(): Promise<void> {
    if (!this.#isNew) return;
    this.#isNew = false;
    try {
      await this.#cutOff();
    } catch (error) {
      this.#isNew = true;
      this.#host.log.warn(`connections of revoked tokens can not be ended: ${(error as Error).message}; trying again`);
    }
  }

  async #cutOff(): Promise<void> {
    const { server, open } = await this.#options.connections();
    // Whom an earlier version of this bundle let in comes back, and is judged then.
    const strangers = [...open].filter((connection) => server !== this.#server || !this.#holders.has(connection));
    for (const connection of strangers.slice(0, mostStrangers)) await this.#kick(server, connection);
    if (strangers.length > mostStrangers) this.#isNew = true;
    for (const [connection, { claims, since }] of this.#holders) {
      const reason = claims && this.#revocations.revoked(claims);
      if (claims && reason !== undefined) {
        this.#host.log.warn(`the connection of ${claims.callerid.slice(0, 80)} is ended, since its token was revoked`);
        await this.#kick(this.#server, connection);
      } else if (!open.has(connection) && Date.now() - since > arrivalMs) this.#holders.delete(connection);
    }
  }

  #kick(server: string, cid: number): Promise<void> {
    return this.#host.bus.publish({
      connection: this.#options.system,
      subject: `$SYS.REQ.SERVER.${server}.KICK`,
      // It does nothing for whoever wants no answer. Nobody listens: who is gone already need not be ended.
      reply: `_INBOX.kick.${cid}`,
      payload: Buffer.from(JSON.stringify({ cid })),
    });
  }
}
