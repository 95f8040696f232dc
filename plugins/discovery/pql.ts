// A filter as a query for PuppetDB, in PQL. A pure function.

import type { Filter } from '../wire/filter.ts';
import { patternSource } from '../wire/regexp.ts';
import { DiscoveryError } from './request.ts';

const queryPrefix = 'pql:';
/** Agents that are part of every node, and come with one of these classes. */
const builtinAgents: ReadonlySet<string> = new Set(['rpcutil', 'scout', 'choria_util']);
const nodeClasses = ['choria::service', 'mcollective::service'];

/** @throws DiscoveryError for what PuppetDB can't be asked */
export function pqlOf({ identity, cf_class, agent = [], fact, compound }: Filter, collective: string): string {
  if (compound.length > 0) throw new DiscoveryError('puppetdb can not evaluate the expression of -S; use another --dm');
  const parts = [
    collectivePart(collective),
    identity.map(identityPart).join(' or '),
    cf_class.map(classPart).join(' and '),
    agent.map(agentPart).join(' and '),
    fact.map(factPart).join(' and '),
  ].filter((part) => part !== '');
  return `nodes[certname, deactivated] { ${parts.map((part) => `(${part})`).join(' and ')} }`;
}

function collectivePart(collective: string): string {
  return `certname in inventory[certname] { facts.mcollective.server.collectives.match("\\d+") = ${quote(collective)} }`;
}

function identityPart(name: string): string {
  if (name.startsWith(queryPrefix)) return `certname in ${name.slice(queryPrefix.length).trim()}`;
  if (name.startsWith('group:')) throw new DiscoveryError(`puppetdb knows no groups; -I ${name} is for --dm inventory`);
  const source = patternSource(name);
  return source === undefined ? `certname = ${quote(name)}` : `certname ~ ${quotePattern(source)}`;
}

function classPart(name: string): string {
  const source = patternSource(name);
  const title = source === undefined ? `= ${quote(titleOf(name))}` : `~ ${quotePattern(source)}`;
  return `resources {type = "Class" and title ${title}}`;
}

/** `role::web` is the resource `Role::Web`. */
function titleOf(name: string): string {
  return name
    .split('::')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('::');
}

function agentPart(name: string): string {
  if (builtinAgents.has(name)) return `(${nodeClasses.map(classPart).join(' or ')})`;
  const source = patternSource(name);
  const tag =
    source === undefined
      ? `= ${quote(`mcollective_agent_${name}_server`)}`
      : `~ "mcollective_agent_.*?${inner(quotePattern(source))}.*?_server"`;
  return `resources {type = "File" and tag ${tag}}`;
}

function factPart({ fact, operator, value }: Filter['fact'][number]): string {
  // It stands in the query as it is.
  if (!/^[\w-]+(\.[\w-]+)*$/.test(fact))
    throw new DiscoveryError(`puppetdb can not be asked for the fact '${fact}': use letters, digits, _, - and dots only`);
  const is = isNumber(value) || /^(true|false)$/.test(value);
  const equal = is ? `facts.${fact} = ${value} or facts.${fact} = ${quote(value)}` : `facts.${fact} = ${quote(value)}`;
  switch (operator) {
    case '==':
      return `inventory {${equal}}`;
    case '!=':
      return `inventory {!(${equal})}`;
    case '=~':
      return `inventory {facts.${fact} ~ ${quotePattern(patternSource(value) ?? value)}}`;
    default:
      if (!isNumber(value))
        throw new DiscoveryError(`puppetdb compares with ${operator} numbers only, and '${value}' of the fact ${fact} is none`);
      return `inventory {facts.${fact} ${operator} ${value}}`;
  }
}

function isNumber(text: string): boolean {
  return /^[+-]?\d+(\.\d+)?$/.test(text);
}

/** PuppetDB reads it as JSON does, also where it is a pattern. */
function quote(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** PuppetDB has no switch for patterns without regard to case, so each letter becomes a set of two. */
function quotePattern(source: string): string {
  const folded = source.replace(/\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[a-zA-Z]/gs, (part) => {
    if (part.startsWith('\\')) return part;
    if (part.startsWith('[')) return part.replace(/\\.|([a-zA-Z])(?:-([a-zA-Z]))?/gs, foldRange);
    return `[${part.toLowerCase()}${part.toUpperCase()}]`;
  });
  return quote(folded);
}

/** A letter or range of letters within a set, in both cases. */
function foldRange(part: string, from: string | undefined, to: string | undefined): string {
  if (from === undefined) return part;
  const end = to === undefined ? '' : `-${to}`;
  return `${from.toLowerCase()}${end.toLowerCase()}${from.toUpperCase()}${end.toUpperCase()}`;
}

function inner(quoted: string): string {
  return quoted.slice(1, -1);
}
