// A client of HTTP that does no more than it must: calls that were written before, one after the other on a connection that
// stays. It works on the processors that the service is measured on, and node:http would take as much of them as the service.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const length = /^content-length: (\d+)\r$/im;

interface Waiting {
  readonly resolve: (body: string) => void;
  readonly reject: (error: Error) => void;
}

export class HttpClient {
  readonly #socket: Socket;
  #text = '';
  #waiting: Waiting | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the service closed the connection')));
  }

  static async open(port: number): Promise<HttpClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    return new HttpClient(socket);
  }

  /** @param call with its headers. @returns the body of the answer */
  call(call: Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(call);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#text += text;
    const end = this.#text.indexOf('\r\n\r\n');
    if (end === -1) return;
    const body = this.#text.slice(end + 4);
    if (body.length < Number(length.exec(this.#text.slice(0, end + 2))?.[1])) return;
    const waiting = this.#waiting;
    [this.#text, this.#waiting] = ['', undefined];
    waiting?.resolve(body);
  }
}
