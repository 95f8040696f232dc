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
  readonly #mayHaveBegun: boolean;
  #asking: Promise<ReadonlyMap<number, string>> | undefined;

  /** @param mayHaveBegun whether connections were let in before by somebody else */
  constructor(monitor: Monitor, mayHaveBegun: boolean) {
    this.#monitor = monitor;
    this.#mayHaveBegun = mayHaveBegun;
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

  /** Numbers of connections belong to one life of the server. Who was let in before this began to answer is asked for once. */
  async #learn(server: string): Promise<void> {
    if (this.#server === '' && this.#mayHaveBegun) {
      this.#asking ??= this.#monitor.all();
      try {
        const names = await this.#asking;
        if (this.#server !== '') return;
        this.#server = server;
        for (const [connection, name] of names) if (!this.#byName.has(name)) this.#hold(connection, name);
      } finally {
        this.#asking = undefined;
      }
      return;
    }
    if (server === this.#server) return;
    this.#server = server;
    this.#byName.clear();
    this.#byConnection.clear();
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
