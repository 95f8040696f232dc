// A name server on 127.0.0.1 that knows SRV records. What it has no records for does not exist.

import { createSocket, type Socket } from 'node:dgram';

export interface Srv {
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

const srvType = 33;
const [noSuchName, refused] = [3, 5];

export class NameServer {
  /** By name. Changed at will. */
  readonly records = new Map<string, readonly Srv[]>();
  /** Names that were asked for, in order. */
  readonly asked: string[] = [];
  refuses = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async start(): Promise<NameServer> {
    const socket = createSocket('udp4');
    const server = new NameServer(socket);
    socket.on('message', (query, { port, address }) => socket.send(server.#answer(query), port, address));
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return server;
  }

  /** As `dns.setServers` takes it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** Environment of a process that asks this server. */
  get environment(): Record<string, string> {
    const script = `import { setServers } from 'node:dns'; setServers(['${this.address}']);`;
    return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` };
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(query: Buffer): Buffer {
    const { name, end } = readName(query, 12);
    const type = query.readUInt16BE(end);
    this.asked.push(name);
    const records = type === srvType ? (this.records.get(name) ?? []) : [];
    const code = this.refuses ? refused : this.records.has(name) ? 0 : noSuchName;
    const header = Buffer.alloc(12);
    header.writeUInt16BE(query.readUInt16BE(0), 0);
    header.writeUInt16BE(0x8580 | code, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(this.refuses ? 0 : records.length, 6);
    return Buffer.concat([header, query.subarray(12, end + 4), ...(this.refuses ? [] : records.map(writeRecord))]);
  }
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function writeRecord({ target, port, priority = 0, weight = 0 }: Srv): Buffer {
  const labels = target.split('.').filter((label) => label !== '');
  const name = Buffer.concat([...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])]);
  const head = Buffer.alloc(18);
  // The name of the question, the type, the class, a time to live, the length of what follows.
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(srvType, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(1, 6);
  head.writeUInt16BE(6 + name.length, 10);
  head.writeUInt16BE(priority, 12);
  head.writeUInt16BE(weight, 14);
  head.writeUInt16BE(port, 16);
  return Buffer.concat([head, name]);
}
