// Why a plugin is not active, in words.

import type { Host } from './host.ts';

/** @param name `kind/name`, a plugin's name, or a bundle's name or folder */
export function whyNotActive(host: Host, name: string): string {
  const listings = host
    .list()
    .filter((listing) => `${listing.kind}/${listing.name}` === name || listing.name === name || listing.bundle === name);
  const problems = host.problems.filter(
    (problem) =>
      problem.bundle === name ||
      problem.bundle.endsWith(`/${name}`) ||
      listings.some((listing) => listing.bundle === problem.bundle),
  );
  const lines = problems.map((problem) => `The bundle ${problem.bundle} could not be loaded: ${problem.message}`);
  for (const { kind, name: plugin, state, reason, bundle } of listings) {
    const what = `${kind}/${plugin} of the bundle ${bundle}`;
    if (state === 'ready') lines.push(`${what} is active.`);
    else if (state === 'idle') lines.push(`${what} is loaded and starts with its first call.`);
    else lines.push(`${what} is ${state}${reason ? `: ${reason}` : ''}.`);
  }
  if (lines.length > 0) return lines.join('\n');
  const folders = [...host.options.bundles, ...(host.options.watched ?? [])];
  return `Nothing of the name ${name} is loaded. Bundles are looked for in ${folders.join(', ')}; each is a folder with a bundle.yaml. Loaded are ${host.bundles.map((bundle) => bundle.name).join(', ')}.`;
}
