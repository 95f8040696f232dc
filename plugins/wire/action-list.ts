// Lists of actions in tokens (claim `agents`): whether one allows an action, and the sentence that says why.

export type ListVerdict =
  | { readonly allowed: true; readonly reason: string }
  | { readonly allowed: false; readonly reason: string; readonly error?: 'invalid_entry' };

/** Entries count in their order; one that can't be read ends the walk, also where a later one would allow. */
export function decideByList(agents: readonly string[] | null | undefined, agent: string, action: string): ListVerdict {
  for (const entry of agents ?? []) {
    if (entry === '*') return { allowed: true, reason: 'the list of actions allows everything (*)' };
    const parts = entry.split('.');
    const [listed, allowed] = parts;
    if (parts.length !== 2)
      return {
        allowed: false,
        error: 'invalid_entry',
        reason: `the entry '${shown(entry)}' of the list of actions can not be read, and none after it counts; entries are *, agent.* or agent.action`,
      };
    if (listed === agent && (allowed === '*' || allowed === action))
      return { allowed: true, reason: `the list of actions allows ${entry}` };
  }
  return { allowed: false, reason: `the list of actions has neither ${shown(agent)}.${shown(action)} nor ${shown(agent)}.*` };
}

/** What would be needed, and what there is, for whoever was refused. */
export function explainList(agents: readonly string[] | null | undefined, agent: string, verdict: ListVerdict): string[] {
  const why = `${verdict.reason.charAt(0).toUpperCase()}${verdict.reason.slice(1)}.`;
  if (verdict.allowed || verdict.error) return [why];
  const all = agents ?? [];
  if (all.length === 0) return ['Your token allows no action at all: its list of actions is empty.'];
  const own = all.filter((entry) => entry.startsWith(`${agent}.`)).map((entry) => entry.slice(agent.length + 1));
  const others = [...new Set(all.map((entry) => entry.split('.')[0] ?? ''))];
  const have =
    own.length > 0
      ? `Of the agent ${shown(agent)} you may call ${listed(own)}.`
      : `You may not call the agent ${shown(agent)}; your list is about ${listed(others)}.`;
  return [why, have];
}

const maxListed = 10;

function listed(names: readonly string[]): string {
  const some = names.slice(0, maxListed).map(shown).join(', ');
  return names.length > maxListed ? `${some} and ${names.length - maxListed} more` : some;
}

/** Names come from requests. */
function shown(name: string): string {
  return name.length > 80 ? `${name.slice(0, 80)}…` : name;
}
