// The connection over which the callout answers a nats-server on this machine.

import { isIPv6 } from 'node:net';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import type { WatchedServer } from '../server.ts';
import { Callout, type CalloutOptions } from './service.ts';

export interface CalloutConnectionOptions extends CalloutOptions {
  /** Address that the server listens on. */
  readonly listen: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly tls: boolean;
}

export class CalloutConnection {
  readonly #host: Host;
  readonly #options: CalloutConnectionOptions;
  readonly #callout: Callout;

  constructor(host: Host, options: CalloutConnectionOptions) {
    this.#host = host;
    this.#options = options;
    this.#callout = new Callout(host, options);
  }

  get counts(): Callout['counts'] {
    return this.#callout.counts;
  }

  /** After a reload the version before answers until this one does. A new server has to listen first. */
  async open(server: WatchedServer, wasRunning: boolean): Promise<void> {
    if (wasRunning) {
      await this.#listen();
      return;
    }
    void server.ready
      .then((ready) => (ready ? this.#listen() : undefined))
      .catch((error: Error) => this.#host.log.error(`nobody checks who connects to ${this.#options.title}: ${error.message}`));
  }

  async isConnected(): Promise<boolean> {
    return this.#host.bus.info(this.#options.connection).then(
      ({ connected }) => connected,
      () => false,
    );
  }

  async #listen(): Promise<void> {
    const { connection, listen, port, user, password, tls } = this.#options;
    await this.#host.bus.open({
      connection,
      servers: [`${loopbackOf(listen)}:${port}`],
      name: 'callout',
      wait: false,
      user,
      password,
      // It does not leave this machine, and the certificate need not name the address that it listens on.
      ...(tls && { tls: { rejectUnauthorized: false } }),
    });
    await this.#callout.listen();
  }
}

/** Where a server that listens there is reached from its own machine. */
export function loopbackOf(listen: string): string {
  const host = ['::', '0.0.0.0', ''].includes(listen) ? '127.0.0.1' : listen;
  return isIPv6(host) ? `[${host}]` : host;
}
