// The span of a request on this node: from the moment it was verified to its reply. What plugins do for it hangs below.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { clientSpanOf, newSpanId, readTraceparent, spanTime, traceIdOf } from '../wire/trace.ts';

interface Traced {
  readonly id: string;
  readonly agent: string;
  readonly caller: string;
  readonly collective: string;
  readonly traceparent?: string;
}

export class RequestSpan {
  /** For calls of plugins. */
  readonly trace: string;
  readonly #host: Host;
  readonly #request: Traced;
  readonly #identity: string;
  readonly #trace: string;
  readonly #parent: string;
  readonly #span = newSpanId();
  readonly #start = spanTime();
  #action = '';
  #statuscode = 0;
  #statusmsg = '';

  private constructor(host: Host, request: Traced, identity: string, trace: string, parent: string) {
    this.#host = host;
    this.#request = request;
    this.#identity = identity;
    this.#trace = trace;
    this.#parent = parent;
    this.trace = `${trace}-${this.#span}`;
  }

  /** In the trace that the request names, else in its own. None if the caller's trace is not recorded. */
  static of(host: Host, request: Traced, identity: string): RequestSpan | undefined {
    const context = readTraceparent(request.traceparent);
    if (context?.sampled === false) return undefined;
    const { trace, parent } = context ?? { trace: traceIdOf(request.id), parent: clientSpanOf(request.id) };
    return new RequestSpan(host, request, identity, trace, parent);
  }

  /** What the request came to. */
  answered({ action, statuscode, statusmsg }: { action: string; statuscode: number; statusmsg: string }): void {
    this.#action = action;
    this.#statuscode = statuscode;
    this.#statusmsg = statusmsg;
  }

  end(): void {
    const { id, agent, caller, collective } = this.#request;
    const ok = this.#statuscode === 0;
    const span = {
      trace: this.#trace,
      span: this.#span,
      parent: this.#parent,
      name: this.#action === '' ? agent : `${agent}#${this.#action}`,
      role: 'server',
      start: this.#start,
      end: spanTime(),
      ok,
      ...(!ok && { message: this.#statusmsg }),
      attributes: {
        'muster.node': this.#identity,
        'muster.request': id,
        'muster.caller': caller,
        'muster.collective': collective,
        'muster.agent': agent,
        'muster.action': this.#action,
        'muster.statuscode': this.#statuscode,
      },
    };
    this.#host.plugins
      .call('tracer', 'otlp', 'tracer/record', { spans: [span] })
      .catch((error: Error) => this.#host.log.debug(`the span of request ${id} was lost: ${error.message}`));
  }
}
