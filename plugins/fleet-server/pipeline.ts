// A request on its way through a node, step by step: verified, meant for us, in time, new, known, allowed, recorded,
// well formed, done, answered. Each step either goes on or ends with a reason.

import type { BusMessage, Host } from '../../core/sdk/typescript/index.ts';
import { PluginError } from '../../core/sdk/typescript/index.ts';
import { DdlError, withOutputDefaults } from '../wire/ddl.ts';
import { checkInput } from '../wire/ddl-input.ts';
import { type Filter, isEmptyFilter, matchFilter, withoutAgent } from '../wire/filter.ts';
import type { NodeFiles } from '../wire/node-files.ts';
import {
  ageAllowed,
  pongPayload,
  type RpcReply,
  type RpcRequest,
  readRpcRequest,
  rpcReplyBody,
  statusCodes,
} from '../wire/rpc.ts';
import { securityPlugin } from '../wire/security-plugin.ts';
import { mayReplyTo, nodeSubject } from '../wire/subjects.ts';
import type { Agent, AgentList } from './agents.ts';
import type { NodeConfig } from './config.ts';
import type { Expressions, Verdict } from './expressions.ts';
import { type Ledger, ledgerKey } from './ledger.ts';
import type { Outcomes } from './outcomes.ts';
import { OutputCheck } from './output-check.ts';
import { RequestSpan } from './request-span.ts';
import { Seen } from './seen.ts';

/** Requests that run at once; past it, messages wait in the host. */
const maxRunning = 1_024;

interface OpenedRequest {
  readonly id: string;
  readonly sender: string;
  readonly caller: string;
  readonly collective: string;
  readonly agent: string;
  readonly ttl: number;
  readonly time: number;
  readonly filter: Filter;
  readonly body: string;
  readonly digest: string;
  readonly traceparent?: string;
  /** The time by RFC 3339, where it is known more exactly. */
  readonly timeText?: string;
  /** Of the caller's token, where the protocol has one. */
  readonly claims?: object;
  /** Where traces are followed. */
  readonly span?: RequestSpan;
}

interface Transport {
  readonly replyTo: string;
  readonly sender: string;
  readonly seenBy: readonly (readonly string[])[];
  readonly federation?: object;
}

type Opened =
  | { readonly ok: true; readonly request: OpenedRequest; readonly transport: Transport }
  | { readonly ok: false; readonly code: string; readonly reason: string };

export interface PipelineParts {
  readonly host: Host;
  readonly identity: string;
  readonly config: NodeConfig;
  readonly agents: AgentList;
  readonly files: NodeFiles;
  readonly ledger: Ledger;
  readonly outcomes: Outcomes;
  readonly expressions: Expressions;
  /** URL of the broker that replies go through. */
  readonly server: () => string | undefined;
}

export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #seen = new Seen(Date.now());
  readonly #outputs: OutputCheck;
  #gathered: BusMessage[] = [];
  #running = 0;
  #room: { promise: Promise<void>; open: () => void } | undefined;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#outputs = new OutputCheck(parts.host);
  }

  /** Takes a message; a promise means that there is no room for more until it resolves. */
  accept(message: BusMessage): Promise<void> | undefined {
    this.#gathered.push(message);
    // What arrives in one turn of the event loop is verified in one call.
    if (this.#gathered.length === 1) setImmediate(() => void this.#handleGathered());
    if (this.#running + this.#gathered.length < maxRunning) return undefined;
    this.#room ??= createRoom();
    return this.#room.promise;
  }

  /** Waits until nothing runs, at most so long. */
  async drained(limitMs: number): Promise<void> {
    const until = Date.now() + limitMs;
    while (this.#running + this.#gathered.length > 0 && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async #handleGathered(): Promise<void> {
    const messages = this.#gathered;
    this.#gathered = [];
    this.#running += messages.length;
    const { host, outcomes, config } = this.#parts;
    outcomes.counters.total += messages.length;
    outcomes.lastMessage = Math.floor(Date.now() / 1000);
    try {
      const { results } = (await host.plugins.call('security', securityPlugin(config), 'security/open', {
        messages: messages.map(({ payload }) => ({ payload })),
      })) as { results: Opened[] };
      await Promise.all(results.map((opened, index) => this.#handle(opened, messages[index]?.subject ?? '')));
    } catch (error) {
      host.log.error(`${messages.length} messages could not be handled: ${(error as Error).message}`);
    } finally {
      this.#running -= messages.length;
      if (this.#running < maxRunning) {
        this.#room?.open();
        this.#room = undefined;
      }
    }
  }

  async #handle(opened: Opened, subject: string): Promise<void> {
    const { host, outcomes } = this.#parts;
    if (!opened.ok) {
      outcomes.counters.unvalidated += 1;
      host.log.warn(`dropped a message on ${subject}: ${opened.reason}`, { code: opened.code });
      return;
    }
    const { request, transport } = opened;
    outcomes.counters.validated += 1;
    try {
      const fits = this.#fits(request, subject);
      // Most filters are decided at once.
      if (!(typeof fits === 'boolean' ? fits : await fits)) return;
      if (!this.#isForUs(request, transport)) return;
      outcomes.lastMessage = Math.floor(Date.now() / 1000);
      await this.#answer(request, transport);
    } catch (error) {
      host.log.error(`request ${request.id} of ${request.caller} failed: ${(error as Error).message}`);
      outcomes.tell(request.id, 'refused', `it failed inside the node: ${(error as Error).message}`);
    }
  }

  async #answer(request: OpenedRequest, transport: Transport): Promise<void> {
    const { host, config, identity } = this.#parts;
    const isTraced = config['plugin.muster.otlp_endpoint'] !== undefined;
    const span = isTraced ? RequestSpan.of(host, request, identity) : undefined;
    const traced = span ? { ...request, span } : request;
    try {
      if (request.agent === 'discovery') await this.#answerPing(traced, transport);
      else await this.#answerRpc(traced, transport);
    } finally {
      span?.end();
    }
  }

  /** Whether the filter fits this node; a promise while data plugins are asked. */
  #fits(request: OpenedRequest, subject: string): boolean | Promise<boolean> {
    const { identity, agents, files, expressions } = this.#parts;
    const filter =
      subject === nodeSubject(request.collective, identity) ? withoutAgent(request.filter, request.agent) : request.filter;
    if (isEmptyFilter(filter)) return true;
    const node = { identity, agents: agents.names, classes: files.classes, facts: files.facts };
    const verdict = matchFilter(filter, node, (compound) => expressions.match(compound, node));
    if (typeof verdict === 'boolean') return this.#told(request, filter, { fits: verdict });
    if ('fits' in verdict) return this.#told(request, filter, verdict);
    // Whoever repeats an old message does not get data plugins to work.
    return this.#isTimely(request) && verdict.decide().then((decided) => this.#told(request, filter, decided));
  }

  #told({ id }: OpenedRequest, filter: Filter, { fits, reason }: Verdict): boolean {
    if (fits) return true;
    const { outcomes } = this.#parts;
    outcomes.counters.filtered += 1;
    outcomes.tell(id, 'filtered', `its filter does not fit this node: ${reason ?? JSON.stringify(filter)}`);
    return false;
  }

  /** Collective, age, replay, reply subject: where silence is the right answer. */
  #isForUs(request: OpenedRequest, { replyTo }: Transport): boolean {
    const { config, outcomes, host } = this.#parts;
    const { id, collective, ttl, digest } = request;
    outcomes.counters.passed += 1;
    if (!config.collectives.includes(collective)) {
      outcomes.tell(
        id,
        'collective',
        `it is for the collective ${collective}, this node is a member of ${config.collectives.join(', ')}`,
      );
      host.log.warn(`dropped request ${id} of ${request.caller}: this node is no member of the collective ${collective}`);
      return false;
    }
    if (!this.#isTimely(request)) return false;
    if (!this.#seen.admit(digest, Date.now(), 2 * ttl * 1000)) {
      outcomes.tell(id, 'replayed', 'the same signed message came a second time and was dropped');
      host.log.debug(`dropped request ${id} of ${request.caller}: the same signed message came before`);
      return false;
    }
    if (!mayReplyTo(replyTo)) {
      outcomes.tell(id, 'refused', `its reply subject '${replyTo}' is none that a reply may go to`);
      host.log.warn(`dropped request ${id} of ${request.caller}: a reply may not go to '${replyTo.slice(0, 80)}'`);
      return false;
    }
    return true;
  }

  #isTimely({ id, caller, sender, time, ttl }: OpenedRequest): boolean {
    const { outcomes, host, identity } = this.#parts;
    const now = Math.floor(Date.now() / 1000);
    if (ageAllowed(now, time, ttl)) return true;
    const age = now - time;
    outcomes.counters.ttlexpired += 1;
    const made = age < 0 ? `${-age} s in the future` : `${age} s ago`;
    outcomes.tell(
      id,
      'expired',
      `by the clock of ${identity} it was made ${made}, its TTL is ${ttl} s; compare the clocks of both machines`,
    );
    host.log.warn(
      `dropped request ${id} of ${caller}: it was made ${made} and lives for ${ttl} s; compare the clocks of ${identity} and ${sender.slice(0, 80)}`,
    );
    return false;
  }

  async #answerPing(request: OpenedRequest, transport: Transport): Promise<void> {
    if (request.body.includes('ping')) await this.#reply(request, transport, pongPayload);
    else this.#parts.outcomes.tell(request.id, 'refused', 'it is a discovery request that does not say ping');
  }

  async #answerRpc(request: OpenedRequest, transport: Transport): Promise<void> {
    const { ledger, outcomes } = this.#parts;
    const key = ledgerKey(request.caller, request.id, request.body);
    const entry = ledger.find(key);
    if (entry?.at === 'running') {
      outcomes.tell(request.id, 'running', 'it is a retry of a request that still runs; the answer to that one counts');
      return;
    }
    if (entry) {
      await this.#reply(
        request,
        transport,
        entry.at === 'done' && entry.body !== null ? entry.body : interrupted(request, entry.at),
      );
      return;
    }
    const reply = await this.#perform(request, key);
    request.span?.answered(reply);
    const body = replyBody(reply);
    if (ledger.find(key)) ledger.finish(key, body, Date.now());
    await this.#reply(request, transport, body);
  }

  async #perform(request: OpenedRequest, key: string): Promise<RpcReply> {
    const { agents } = this.#parts;
    let rpc: RpcRequest;
    try {
      rpc = readRpcRequest(request.body);
    } catch (error) {
      return failed(
        '',
        statusCodes.invalidData,
        `Could not process request: could not parse incoming message as a MCollective SimpleRPC Request: ${(error as Error).message}`,
      );
    }
    if (rpc.agent !== request.agent)
      return failed(
        rpc.action,
        statusCodes.aborted,
        `The request is for the agent ${request.agent}, its body for ${rpc.agent || 'none'}; both must be the same`,
      );
    const agent = agents.get(request.agent);
    if (!agent)
      return failed(
        rpc.action,
        statusCodes.unknownAction,
        `Unknown agent ${request.agent}; this node has ${agents.names.join(', ')}`,
      );
    const action = agent.ddl.actions.find((item) => item.action === rpc.action);
    if (!action) return failed(rpc.action, statusCodes.unknownAction, `Unknown action ${rpc.action} for agent ${request.agent}`);
    if (!(await this.#authorize(request, rpc)))
      return failed(rpc.action, statusCodes.aborted, 'You are not authorized to call this agent or action');
    await this.#audit(request, { ...rpc, data: agent.withoutSecrets(rpc.data) });
    try {
      if (!agent.checksInput) checkInput(action, rpc.data);
    } catch (error) {
      if (error instanceof DdlError) return refusedInput(agent, rpc.action, error);
      throw error;
    }
    // What the fleet server answers itself only tells things.
    this.#parts.ledger.begin(key, Date.now(), { onDisk: agent.bundle !== this.#parts.host.bundle });
    const reply = await this.#invoke(request, rpc, agent.ddl.metadata.timeout);
    // Ours tell what Choria's do, also where Choria's DDL says something else.
    if (reply.statuscode === statusCodes.ok && agent.bundle !== this.#parts.host.bundle)
      this.#outputs.look(agent.name, action, reply.data);
    return { ...reply, data: withOutputDefaults(action, reply.data) };
  }

  async #authorize(request: OpenedRequest, { action, data }: RpcRequest): Promise<boolean> {
    const { host, config } = this.#parts;
    if (!config.rpcauthorization) return true;
    const { agent, caller, id, span } = request;
    try {
      const asked = { ...this.#asked(request), action, data };
      const { decisions } = (await host.plugins.call(
        'authorizer',
        config.rpcauthprovider.toLowerCase(),
        'authorizer/authorize',
        { requests: [asked] },
        { trace: span?.trace ?? id },
      )) as { decisions: { allowed: boolean; reason: string }[] };
      const [decision] = decisions;
      if (decision?.allowed) return true;
      host.log.warn(`denied ${caller} ${agent}#${action} (request ${id}): ${decision?.reason ?? 'no decision was made'}`);
      this.#parts.outcomes.tell(id, 'refused', `denied: ${decision?.reason ?? 'no decision was made'}`);
    } catch (error) {
      host.log.error(`denied ${caller} ${agent}#${action} (request ${id}): the authorizer failed: ${(error as Error).message}`);
    }
    return false;
  }

  /** All that an authorizer may look at, but for what the body says. */
  #asked({ id, agent, caller, collective, sender, ttl, time, timeText, filter, claims }: OpenedRequest): object {
    const { config, files, agents } = this.#parts;
    return {
      ...{ id, agent, caller, collective, sender, ttl, time, filter },
      ...(timeText !== undefined && { timeText }),
      ...(claims && { claims }),
      facts: files.facts,
      classes: files.classes,
      agents: agents.names,
      provisionMode: config['plugin.muster.provisioning.active'] === true,
      site: 'server',
    };
  }

  async #audit({ id, time, caller, sender, agent, span }: OpenedRequest, { action, data }: RpcRequest): Promise<void> {
    const { host, config } = this.#parts;
    if (!config.rpcaudit) return;
    const record = { request_id: id, request_time: time, caller, sender, agent, action, data };
    await host.plugins
      .call('auditor', 'logfile', 'auditor/record', { records: [record] }, { trace: span?.trace ?? id })
      .catch((error: Error) => host.log.error(`the audit log was not written: ${error.message}`));
  }

  async #invoke(
    { id, caller, sender, collective, agent, time, ttl, span }: OpenedRequest,
    { action, data }: RpcRequest,
    timeoutSeconds: number,
  ): Promise<RpcReply> {
    const request = { id, caller, sender, collective, time, ttl };
    try {
      const reply = (await this.#parts.host.plugins.call(
        'agent',
        agent,
        'agent/invoke',
        { agent, action, data, request },
        { trace: span?.trace ?? id, deadlineMs: timeoutSeconds * 1000 },
      )) as RpcReply;
      return { ...reply, action };
    } catch (error) {
      const reason =
        error instanceof PluginError && error.code === 'DEADLINE'
          ? `${agent}#${action} did not answer within ${timeoutSeconds} s`
          : (error as Error).message;
      return failed(action, statusCodes.aborted, reason);
    }
  }

  async #reply(request: OpenedRequest, transport: Transport, body: string): Promise<void> {
    try {
      await this.#publish(request, transport, body);
    } catch (error) {
      if (!(error instanceof PluginError) || error.code !== 'TOO_LARGE') throw error;
      this.#parts.host.log.warn(`the reply to request ${request.id} is too large: ${error.message}`);
      await this.#publish(
        request,
        transport,
        rpcReplyBody(failed('', statusCodes.aborted, `The reply is too large: ${error.message}`)),
      );
    }
    this.#parts.outcomes.counters.replies += 1;
    this.#parts.outcomes.tell(request.id, 'replied', 'it was answered');
  }

  async #publish(request: OpenedRequest, { replyTo, seenBy, federation }: Transport, body: string): Promise<void> {
    const { host, identity, server, config } = this.#parts;
    const url = server();
    const reply = {
      id: request.id,
      agent: request.agent,
      sender: identity,
      body,
      seenBy,
      ...(federation && { federation }),
      ...(url !== undefined && { server: url }),
    };
    const traced = request.span && { trace: request.span.trace };
    const { messages } = (await host.plugins.call(
      'security',
      securityPlugin(config),
      'security/seal',
      { replies: [reply] },
      traced,
    )) as {
      messages: { payload: Uint8Array }[];
    };
    const [message] = messages;
    if (message) await host.bus.publish({ connection: 'node', subject: replyTo, payload: message.payload });
  }
}

/** The body of a reply, or of one that says why it can't be written. */
function replyBody(reply: RpcReply): string {
  try {
    return rpcReplyBody(reply);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return rpcReplyBody(failed(reply.action, statusCodes.aborted, 'The reply is nested too deep to be sent'));
  }
}

/** External agents tell of bad input with another status, as callers of Choria's expect it. */
function refusedInput({ ddl }: Agent, action: string, { message }: DdlError): RpcReply {
  return ddl.metadata.provider === 'external'
    ? failed(action, statusCodes.aborted, `Validation failed: ${message}`)
    : failed(action, statusCodes.invalidData, message);
}

function failed(action: string, statuscode: number, statusmsg: string): RpcReply {
  return { action, statuscode, statusmsg, data: {} };
}

function interrupted(request: OpenedRequest, at: 'interrupted' | 'done'): string {
  const why = at === 'done' ? 'was done and its reply was too large to keep' : 'was interrupted by a restart of the node';
  return rpcReplyBody(
    failed(
      '',
      statusCodes.aborted,
      `Request ${request.id} ${why}; it is not run a second time. Send it as a new request if that is wanted`,
    ),
  );
}

function createRoom(): { promise: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}
