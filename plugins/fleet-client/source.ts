// Which source finds the nodes, by flags and configuration. A pure function.

import { type Filter, FilterError } from '../wire/filter.ts';

export interface Wanted {
  readonly filter: Filter;
  readonly method?: string;
  readonly methodOptions?: Readonly<Record<string, string>>;
  readonly nodesFile?: string;
  readonly piped?: string;
}

export interface Source {
  readonly source: string;
  readonly options: Readonly<Record<string, string>>;
  /** What was piped in, for the source to read. */
  readonly input?: string;
  readonly notes: readonly string[];
}

/** Names of sources that go by another name in existing configuration files. */
const aliases: Readonly<Record<string, string>> = { mc: 'broadcast', choria: 'puppetdb', file: 'flatfile' };

/** They can't be told an expression, and whoever configured one of them means the nodes themselves to decide then. */
const withoutExpressions: ReadonlySet<string> = new Set(['puppetdb', 'external']);

/**
 * A file of nodes comes first, then what was piped in unless a source was named, then the source that was named or configured.
 * @throws FilterError for an option that nothing can be done with
 */
export function chooseSource(
  { filter, method, methodOptions, nodesFile, piped }: Wanted,
  config: { readonly default_discovery_method: string; readonly default_discovery_options?: readonly string[] },
): Source {
  const options = methodOptions ?? readOptions(config.default_discovery_options ?? []);
  if (nodesFile !== undefined) return { source: 'flatfile', options: { ...methodOptions, file: nodesFile }, notes: [] };
  if (piped !== undefined && method === undefined)
    return { source: 'flatfile', options: { ...methodOptions, format: formatOf(piped) }, input: piped, notes: [] };
  const wanted = canonicalName(method ?? config.default_discovery_method);
  const expression = filter.compound.length > 0 && withoutExpressions.has(wanted);
  const source = expression ? 'broadcast' : wanted;
  if (source !== 'broadcast') return { source, options, notes: [] };
  const [option] = Object.keys(methodOptions ?? {});
  if (option !== undefined && !expression) throw new FilterError(`broadcast has no option '${option}'; it has none`);
  return {
    source,
    options: {},
    notes: expression ? [`${wanted} can not evaluate the expression of -S, so the nodes are found by broadcast`] : [],
  };
}

export function canonicalName(method: string): string {
  return aliases[method] ?? method;
}

/** `key=value` or `key:value` words, parted at whichever comes first. @throws FilterError for a word that has neither */
export function readOptions(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.search(/[=:]/);
      if (at < 1) throw new FilterError(`'${word}' is no option of a discovery method; write it as key=value`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

/** What is piped into a command, if it names nodes. @throws FilterError for anything else but nothing */
export function readPiped(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  if (/^(\{.*\}|\[.*\])$/s.test(trimmed)) return trimmed;
  throw new FilterError(
    'what was piped in names no nodes: it should be what `req --json` or `find --json` prints; name a list with --nodes FILE, or start the command with </dev/null',
  );
}

function formatOf(piped: string): string {
  return piped.startsWith('[') ? 'json' : 'rpc';
}
