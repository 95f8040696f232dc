// A bare nats-server with JetStream, for what is about the bus alone. It can be killed and started again on its port.

import { type ChildProcess, spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { findNatsServer } from '../../plugins/broker/program.ts';
import { freePort, temporaryFolder, until } from './folders.ts';
import { root } from './languages.ts';

export class NatsServer {
  readonly port: number;
  readonly #store: string;
  readonly #remove: () => void;
  #process: ChildProcess | undefined;

  private constructor(port: number, store: string, remove: () => void) {
    this.port = port;
    this.#store = store;
    this.#remove = remove;
  }

  static async start(): Promise<NatsServer> {
    const { path, remove } = temporaryFolder();
    const server = new NatsServer(await freePort(), path, remove);
    await server.resume();
    return server;
  }

  async resume(): Promise<void> {
    const program = findNatsServer(process.env, root);
    this.#process = spawn(program, ['-a', '127.0.0.1', '-p', String(this.port), '-js', '-sd', this.#store], { stdio: 'ignore' });
    await until('nats-server listens', () => accepts(this.port));
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#remove();
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
