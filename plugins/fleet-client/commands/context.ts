// What every command is given: the client, its flags, the terminal.

import { type Call, type Host, printable, type TerminalInfo } from '../../../core/sdk/typescript/index.ts';
import { compileCompound, compoundNames } from '../../wire/compound.ts';
import { buildFilter, type Filter, FilterError } from '../../wire/filter.ts';
import { type FleetClient, splitNames } from '../client.ts';
import type { Discovered, DiscoverOptions } from '../discovery.ts';
import { readOptions, readPiped } from '../source.ts';

/** Whoever waits for a pipe this long may not know that it does. */
const pipeHintMs = 5_000;

/** A sentence with more names than this is read by nobody. */
const maxNamed = 10;

export type CommandOptions = Readonly<Record<string, unknown>>;

export interface CommandContext {
  readonly host: Host;
  readonly client: FleetClient;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly options: CommandOptions;
  readonly signal: AbortSignal;
  readonly terminal: TerminalInfo;
  /** Writes a line to standard output, without control characters. */
  print(text?: string): Promise<void>;
  /** Writes a line to standard error. */
  tell(text: string): Promise<void>;
}

export async function createContext(
  host: Host,
  client: FleetClient,
  args: Readonly<Record<string, unknown>>,
  options: CommandOptions,
  call: Call,
): Promise<CommandContext> {
  const terminal = await host.terminal.info();
  return {
    host,
    client,
    arguments: args,
    options,
    signal: call.signal,
    terminal,
    print: (text = '') => host.terminal.write(`${printable(text)}\n`),
    tell: (text) => host.terminal.write(`${printable(text)}\n`, 'stderr'),
  };
}

/** The filter that -F, -C, -A, -I, -W and -S make. @throws FilterError */
export function filterOf(options: CommandOptions): Filter {
  const words = (name: string) => (options[name] ?? []) as readonly string[];
  if (typeof options.select === 'string') checkExpression(options.select);
  return buildFilter({
    facts: words('wf'),
    classes: words('wc'),
    agents: words('wa'),
    identities: words('wi'),
    combined: words('with'),
    ...(typeof options.select === 'string' && { compound: options.select }),
  });
}

/** Nodes are silent about an expression that makes no sense, so it is checked here. What is unknown may be their data plugins. */
function checkExpression(source: string): void {
  try {
    compileCompound(source, []);
  } catch (error) {
    throw new FilterError(`the expression of -S can not be used: ${(error as Error).message}`, { cause: error });
  }
}

/** A word that is misspelt selects nobody, so whoever found nobody is told which words not every node has. */
export async function reportNobody({ options, tell }: CommandContext): Promise<void> {
  if (typeof options.select !== 'string') return;
  const everywhere = compoundNames([]);
  const names = [...compileCompound(options.select, []).names].filter((name) => !everywhere.has(name)).sort();
  if (names.length > 0)
    await tell(
      `only nodes with ${names.length === 1 ? 'a data plugin' : 'data plugins'} ${names.join(', ')} can fit the expression of -S`,
    );
}

/** The collective of -T; none if it was not given. */
export function collectiveOf(options: CommandOptions): { collective?: string } {
  return typeof options.target === 'string' ? { collective: options.target } : {};
}

/** The member networks of --federations; none if it was not given. */
export function federationsOf(options: CommandOptions): { federations?: readonly string[] } {
  return typeof options.federations === 'string' ? { federations: splitNames(options.federations) } : {};
}

/** The span that whoever started the command is in, such as that of a job. */
export function traceOf({ TRACEPARENT: traceparent }: NodeJS.ProcessEnv): { traceparent?: string } {
  return traceparent ? { traceparent } : {};
}

/** What the flags say about discovery, and what is piped in if they name no source. @throws FilterError */
export async function discoveryOf(context: CommandContext): Promise<Omit<DiscoverOptions, 'agent' | 'signal' | 'collective'>> {
  const { options } = context;
  const words = (options.do ?? []) as readonly string[];
  const named = typeof options.dm === 'string' || typeof options.nodes === 'string';
  const piped = named ? undefined : await pipedNodes(context);
  return {
    filter: filterOf(options),
    ...(typeof options.discoveryTimeout === 'number' && { timeoutMs: options.discoveryTimeout * 1000 }),
    ...(options.discoveryWindow === true && { windowed: true }),
    ...(typeof options.nodes === 'string' && { nodesFile: options.nodes }),
    ...(typeof options.dm === 'string' && { method: options.dm }),
    ...(words.length > 0 && { methodOptions: readOptions(words) }),
    ...(piped !== undefined && { piped }),
  };
}

async function pipedNodes({ host, terminal, tell, signal }: CommandContext): Promise<string | undefined> {
  if (!terminal.piped) return undefined;
  const hint = setTimeout(() => {
    void tell('waiting for replies on standard input; to reach nodes by the flags alone, start the command with </dev/null');
  }, pipeHintMs);
  try {
    return readPiped(await host.terminal.read({ signal }));
  } finally {
    clearTimeout(hint);
  }
}

/** Tells what the user should know of how the nodes were found. */
export async function reportNotes(context: CommandContext, { notes = [] }: Discovered): Promise<void> {
  for (const note of notes) await context.tell(`warning: ${note}`);
}

/** Says that two nodes share a name, since each of them alone looks right. */
export async function reportDuplicates(context: CommandContext, duplicates: readonly string[]): Promise<void> {
  if (duplicates.length === 0) return;
  const named = duplicates.slice(0, maxNamed).join(', ');
  const names = duplicates.length > maxNamed ? `${named} and ${duplicates.length - maxNamed} others` : named;
  await context.tell(
    `warning: ${names} answered more than once: several nodes share ${duplicates.length === 1 ? 'this identity' : 'these identities'}; give each node an identity of its own`,
  );
}

/** Says whose clocks differ. */
export async function reportClocks(context: CommandContext, clocks: readonly string[]): Promise<void> {
  for (const clock of clocks) await context.tell(`warning: ${clock}`);
}

/** Indented like Choria's documents. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, null, 3);
}
