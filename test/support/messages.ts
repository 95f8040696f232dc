// Requests made by hand, so that each part of them can be wrong.

import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Authority, issueFiles } from '../../plugins/overlay/ca.ts';
import { emptyFilter, type Filter } from '../../plugins/wire/filter.ts';
import { newRequestId } from '../../plugins/wire/rpc.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v1/messages.ts';

export interface RequestPlan {
  readonly id?: string;
  readonly agent?: string;
  readonly action?: string;
  readonly data?: object;
  /** Instead of a body made of agent, action and data. */
  readonly body?: string;
  readonly caller?: string;
  readonly collective?: string;
  readonly filter?: Filter;
  /** Unix seconds; default now. */
  readonly time?: number;
  readonly ttl?: number;
  readonly replyTo?: string;
  readonly federation?: { readonly req: string; readonly 'reply-to': string; readonly target: readonly string[] };
  /** Changes the text after it was signed. */
  readonly tamper?: (message: string) => string;
  readonly signature?: string;
  readonly certificate?: string;
}

export interface Crafted {
  readonly id: string;
  readonly replyTo: string;
  readonly payload: Uint8Array;
}

/** Signs requests with the certificate of a name. */
export class Crafter {
  readonly #key: ReturnType<typeof createPrivateKey>;
  /** In PEM form. */
  readonly certificate: string;
  readonly caller: string;

  private constructor(key: string, certificate: string, caller: string) {
    this.#key = createPrivateKey(key);
    this.certificate = certificate;
    this.caller = caller;
  }

  static async of(authority: Authority, name: string): Promise<Crafter> {
    const { cert, key } = await issueFiles(authority, { commonName: name });
    return new Crafter(readFileSync(key, 'utf8'), readFileSync(cert, 'utf8'), `choria=${name}`);
  }

  /** The signature of this text, in base64. */
  sign(message: string): string {
    return sign('sha256', Buffer.from(message), this.#key).toString('base64');
  }

  request(plan: RequestPlan = {}): Crafted {
    const { agent = 'rpcutil', action = 'ping', data = {}, id = newRequestId(), collective = 'mcollective' } = plan;
    const replyTo = plan.replyTo ?? `mcollective.reply.crafted.${id}`;
    const message = requestText({
      id,
      sender: 'crafter.test',
      caller: plan.caller ?? this.caller,
      collective,
      agent,
      ttl: plan.ttl ?? 60,
      time: plan.time ?? Math.floor(Date.now() / 1000),
      filter: plan.filter ?? emptyFilter,
      body: plan.body ?? JSON.stringify({ agent, action, data }),
    });
    const signature = plan.signature ?? this.sign(message);
    const data64 = secureRequestText(
      plan.tamper ? plan.tamper(message) : message,
      signature,
      plan.certificate ?? this.certificate,
    );
    const headers = {
      replyTo,
      sender: 'crafter.test',
      seenBy: [['', 'crafter.test', '']],
      ...(plan.federation && { federation: plan.federation }),
    };
    return { id, replyTo, payload: transportBytes(data64, headers) };
  }
}
