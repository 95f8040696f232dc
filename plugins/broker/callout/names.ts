// Which connection has which name: the first one keeps it as long as it lives.

/** What the monitor of nats-server tells. */
export interface Monitor {
  /** Whether a connection is there still. */
  isOpen(connection: number): Promise<boolean>;
  /** Names by connection, of those that were let in. */
  all(): Promise<ReadonlyMap<number, string>>;
}

export type Claimed = { readonly ok: true } | { readonly ok: false; readonly holder: number };

export class Names {
  readonly #monitor: Monitor;
  readonly #byName = new Map<string, number>();
  readonly #byConnection = new Map<number, string>();
  #server = '';
  #known: Promise<void> = Promise.resolve();

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Gives the name to a connection unless another has it that is there still; a connection has one name only. */
  async claim(server: string, connection: number, name: string): Promise<Claimed> {
    await this.#learn(server);
    const before = this.#byConnection.get(connection);
    if (before !== undefined && before !== name) return { ok: false, holder: connection };
    for (;;) {
      const holder = this.#byName.get(name);
      if (holder === undefined || holder === connection) break;
      // Its end may not have been told, or not yet.
      if (await this.#monitor.isOpen(holder)) return { ok: false, holder };
      this.#free(holder);
    }
    this.#hold(connection, name);
    return { ok: true };
  }

  /** A connection has ended. */
  release(server: string, connection: number): void {
    if (server === this.#server) this.#free(connection);
  }

  /** Numbers of connections belong to one life of the server; those of a life that began before this one are asked for. */
  #learn(server: string): Promise<void> {
    if (server !== this.#server) {
      this.#server = server;
      this.#byName.clear();
      this.#byConnection.clear();
      this.#known = this.#monitor.all().then((names) => {
        for (const [connection, name] of names)
          if (this.#server === server && !this.#byName.has(name)) this.#hold(connection, name);
      });
    }
    return this.#known;
  }

  #hold(connection: number, name: string): void {
    this.#byName.set(name, connection);
    this.#byConnection.set(connection, name);
  }

  #free(connection: number): void {
    const name = this.#byConnection.get(connection);
    this.#byConnection.delete(connection);
    if (name !== undefined && this.#byName.get(name) === connection) this.#byName.delete(name);
  }
}
