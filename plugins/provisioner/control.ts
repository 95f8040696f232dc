// How commands reach provisioners: questions on the provisioning network, which nodes may not publish on.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { connection } from './node-rpc.ts';
import type { Status } from './status.ts';

export const questions = {
  status: 'muster.provisioner.ask.status',
  pause: 'muster.provisioner.ask.pause',
  resume: 'muster.provisioner.ask.resume',
} as const;
export type Question = keyof typeof questions;

export type Answer = { readonly status: Status } | { readonly error: string };

export interface ControlParts {
  readonly status: () => Status;
  readonly setPaused: (paused: boolean) => Promise<void>;
}

export class Control {
  readonly #host: Host;
  readonly #parts: ControlParts;

  constructor(host: Host, parts: ControlParts) {
    this.#host = host;
    this.#parts = parts;
  }

  async start(): Promise<void> {
    for (const question of ['status', 'pause', 'resume'] as const)
      await this.#host.bus.subscribe({ connection, id: `ask:${question}`, subject: questions[question] }, ({ reply }) =>
        this.#answer(question, reply),
      );
  }

  async #answer(question: Question, reply: string | undefined): Promise<void> {
    let answer: Answer;
    try {
      if (question !== 'status') await this.#parts.setPaused(question === 'pause');
      answer = { status: this.#parts.status() };
    } catch (error) {
      answer = { error: (error as Error).message };
    }
    if (reply?.startsWith('muster.provisioner.answer.'))
      await this.#host.bus.publish({ connection, subject: reply, payload: Buffer.from(JSON.stringify(answer)) });
  }
}
