// What a policy is asked about: the document, bounded in size and depth before it is turned into text.

/** The answer to one request, or why there is none. */
export type Input =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly error: 'bad_data' | 'too_large'; readonly reason: string };

const maxDepth = 64;
const maxBytes = 512 * 1024;
/** Values in all; what is wider is refused before it is copied. */
const maxValues = 100_000;

export interface TokenRequest {
  readonly agent: string;
  readonly action: string;
  readonly data?: unknown;
  readonly sender?: string;
  readonly collective?: string;
  readonly ttl?: number;
  /** Seconds since 1970. */
  readonly time?: number;
  readonly timeText?: string;
  readonly site?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface NodeRequest extends TokenRequest {
  readonly caller: string;
  readonly facts?: unknown;
  readonly classes?: readonly string[];
  readonly agents?: readonly string[];
  readonly provisionMode?: boolean;
}

/** For a policy in a token. */
export function tokenInput(request: TokenRequest): Input {
  const { agent, action, data, sender = '', collective = '', ttl = 0, site = '', claims = {} } = request;
  if (data === undefined || (data !== null && (typeof data !== 'object' || Array.isArray(data))))
    return { ok: false, error: 'bad_data', reason: 'the data of the request is no object' };
  return textOf({ agent, action, data, sender, collective, ttl, time: timeOf(request), site, claims });
}

/** For a policy on a node. */
export function nodeInput(request: NodeRequest): Input {
  const { agent, action, caller, collective = '', data = {}, ttl = 0, facts = {}, provisionMode = false } = request;
  const { classes = [], agents = [] } = request;
  return textOf({
    agent,
    action,
    callerid: caller,
    collective,
    data,
    ttl,
    time: timeOf(request),
    facts,
    classes: classes.toSorted(),
    agents: agents.toSorted(),
    provision_mode: provisionMode,
  });
}

function timeOf({ time, timeText }: TokenRequest): string {
  if (timeText !== undefined) return timeText;
  if (time === undefined || !Number.isFinite(time) || Math.abs(time) > 8.64e12) return '0001-01-01T00:00:00Z';
  return new Date(Math.floor(time) * 1_000).toISOString().replace('.000Z', 'Z');
}

function textOf(document: object): Input {
  const problem = boundsProblem(document);
  if (problem !== undefined) return { ok: false, error: 'too_large', reason: problem };
  const text = JSON.stringify(document);
  if (Buffer.byteLength(text) > maxBytes)
    return {
      ok: false,
      error: 'too_large',
      reason: `what the policy would look at has ${Buffer.byteLength(text)} bytes, at most ${maxBytes} are evaluated`,
    };
  return { ok: true, text };
}

/** Level by level, since what is deep would end a walk that calls itself. */
function boundsProblem(document: object): string | undefined {
  let level: unknown[] = [document];
  let seen = 0;
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > maxDepth) return `what the policy would look at is nested deeper than ${maxDepth} levels`;
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue;
      for (const item of Array.isArray(value) ? value : Object.values(value)) {
        seen += 1;
        if (typeof item === 'object' && item !== null) next.push(item);
      }
      if (seen > maxValues) return `what the policy would look at has more than ${maxValues} values`;
    }
    level = next;
  }
  return undefined;
}
