// Answers nats-server's question who a connection is and what it may. Who is let in is decided by the grants.

import type { KeyObject } from 'node:crypto';
import { type AuthorizationRequest, validate } from '#schemas/nats/v2/authorization_request';
import { validate as validateDisconnect } from '#schemas/nats/v2/client_disconnect';
import type { BusMessage, Host } from '../../../core/sdk/typescript/index.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import { accountName, readNatsToken, signNatsToken } from './nkeys.ts';

export type Asked = AuthorizationRequest['nats'];

/** What a connection gets. */
export interface Grant {
  readonly account: string;
  /** Who it is, for the broker's log and monitor. */
  readonly name: string;
  /** When it is cut off, in seconds since 1970. */
  readonly expires: number | undefined;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** Not to be published to, though `publish` has it. */
  readonly denied?: readonly string[];
}

export interface Grants {
  /** Connections that are held to their names. */
  readonly size: number;
  /** @throws RefusedError, TokenError */
  grant(asked: Asked): Promise<Grant>;
  /** A connection of that server has ended. */
  ended(server: string, connection: number): void;
}

export interface CalloutOptions {
  readonly connection: string;
  /** Whose connections it is told of when they end. */
  readonly account: string;
  /** What people call the port. */
  readonly title: string;
  readonly issuer: KeyObject;
  readonly grants: Grants;
}

/** Someone who is refused tries again and again; it is told this often. */
const repeatMs = 60_000;
const maxTold = 1_000;
const version = 2;

/** Why a connection is refused. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

export class Callout {
  readonly #host: Host;
  readonly #options: CalloutOptions;
  readonly #issuer: string;
  readonly #told = new Map<string, number>();
  readonly #counts = { granted: 0, refused: 0 };

  constructor(host: Host, options: CalloutOptions) {
    this.#host = host;
    this.#options = options;
    this.#issuer = accountName(options.issuer);
  }

  get counts(): { readonly granted: number; readonly refused: number; readonly names: number } {
    return { ...this.#counts, names: this.#options.grants.size };
  }

  /** Over a connection that is open. */
  async listen(): Promise<void> {
    const { connection, account } = this.#options;
    await this.#host.bus.subscribe({ connection, id: connection, subject: '$SYS.REQ.USER.AUTH' }, (message) =>
      this.#answer(message),
    );
    await this.#host.bus.subscribe(
      { connection, id: `${connection}-ends`, subject: `$SYS.ACCOUNT.${account}.DISCONNECT` },
      ({ payload }) => this.#ended(payload),
    );
  }

  async #answer({ payload, reply }: BusMessage): Promise<void> {
    const asked = this.#read(payload);
    if (!asked || reply === undefined) return;
    const outcome = await this.#decide(asked);
    this.#counts['jwt' in outcome ? 'granted' : 'refused'] += 1;
    const claims = {
      aud: asked.server_id.id,
      sub: asked.user_nkey,
      nats: { ...outcome, type: 'authorization_response', version },
    };
    await this.#host.bus.publish({
      connection: this.#options.connection,
      subject: reply,
      payload: Buffer.from(this.#sign(claims)),
    });
  }

  async #decide(asked: Asked): Promise<{ readonly jwt: string } | { readonly error: string }> {
    try {
      return { jwt: await this.#grant(asked) };
    } catch (error) {
      const known = error instanceof RefusedError || error instanceof TokenError;
      const reason = known ? error.message : 'it could not be decided';
      if (!known) this.#host.log.error(`a connection to ${this.#options.title} could not be judged: ${(error as Error).message}`);
      this.#tell(asked, reason);
      return { error: reason };
    }
  }

  /** @throws RefusedError, TokenError */
  async #grant(asked: Asked): Promise<string> {
    const { account, name, expires, publish, subscribe, denied = [] } = await this.#options.grants.grant(asked);
    return this.#sign({
      aud: account,
      sub: asked.user_nkey,
      name,
      ...(expires !== undefined && Number.isFinite(expires) && { exp: expires }),
      nats: {
        pub: { allow: publish, ...(denied.length > 0 && { deny: denied }) },
        sub: { allow: subscribe },
        subs: -1,
        data: -1,
        payload: -1,
        type: 'user',
        version,
      },
    });
  }

  #sign(claims: Readonly<Record<string, unknown>>): string {
    return signNatsToken(claims, this.#issuer, this.#options.issuer);
  }

  #read(payload: Uint8Array): Asked | undefined {
    const claims = parsed(() => readNatsToken(Buffer.from(payload).toString()));
    if (validate(claims)) return claims.nats;
    this.#host.log.error('nats-server asks about a connection in a way that is not known here; see which version it is');
    return undefined;
  }

  #ended(payload: Uint8Array): void {
    const event = parsed(() => JSON.parse(Buffer.from(payload).toString()) as unknown);
    if (validateDisconnect(event)) this.#options.grants.ended(event.server.id, event.client.id);
  }

  #tell({ connect_opts: { name = '' }, client_info: { host = '' } }: Asked, reason: string): void {
    const key = `${name} ${host} ${reason}`;
    const now = Date.now();
    if (now - (this.#told.get(key) ?? 0) < repeatMs) return;
    if (this.#told.size >= maxTold) this.#told.clear();
    this.#told.set(key, now);
    this.#host.log.warn(
      `a connection to ${this.#options.title} from ${host || 'somewhere'} under the name ${JSON.stringify(name).slice(0, 260)} was refused: ${reason}`,
    );
  }
}

function parsed(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return undefined;
  }
}
