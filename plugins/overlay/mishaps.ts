// Mishaps of emulated nodes, in the place where a node decides about a request: it takes its time, fails, or is never answered.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Call, definePlugin, PluginError } from '../../core/sdk/typescript/index.ts';

/** What happens how often; shares from 0 to 1. */
export interface Mishaps {
  readonly latencyMs: readonly [number, number];
  readonly errors: number;
  readonly silence: number;
}

interface Asked {
  readonly requests: readonly unknown[];
}

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  create: ({ config }) => {
    const { latencyMs, errors, silence } = readMishaps({
      latency: String(config['plugin.emulator.latency']),
      errors: String(config['plugin.emulator.errors']),
      silence: String(config['plugin.emulator.silence']),
    });
    const random = dice(Number(config['plugin.emulator.seed']));
    const decide = async ({ signal }: Call) => {
      const fate = random();
      const [least, most] = latencyMs;
      await sleep(least + (most - least) * random(), undefined, { signal });
      // Held until the node ends or nobody waits any more.
      if (fate < silence) await new Promise((_resolve, reject) => signal.addEventListener('abort', reject, { once: true }));
      return fate < silence + errors ? { allowed: false, reason: 'the emulator lets it fail' } : { allowed: true, reason: '' };
    };
    return {
      methods: {
        'authorizer/authorize': async ({ requests }: Asked, call: Call) => ({
          decisions: await Promise.all(requests.map(() => decide(call))),
        }),
      },
    };
  },
});

/** @throws PluginError `INVALID_PARAMS` that says what is taken */
export function readMishaps({ latency, errors, silence }: { latency: string; errors: string; silence: string }): Mishaps {
  const bounds = /^(\d+)(?:-(\d+))?(?:ms)?$/.exec(latency);
  if (!bounds || Number(bounds[2] ?? bounds[1]) < Number(bounds[1]))
    throw new PluginError('INVALID_PARAMS', `--latency takes milliseconds such as 50 or 10-500, not '${latency}'`);
  const [least, most] = [Number(bounds[1]), Number(bounds[2] ?? bounds[1])];
  const mishaps = {
    latencyMs: [least, most] as const,
    errors: shareOf('--errors', errors),
    silence: shareOf('--silence', silence),
  };
  if (mishaps.errors + mishaps.silence > 1)
    throw new PluginError('INVALID_PARAMS', '--errors and --silence together are more than 100 %');
  return mishaps;
}

function shareOf(flag: string, text: string): number {
  const percent = /^(\d+(?:\.\d+)?)%?$/.exec(text)?.[1];
  if (percent === undefined || Number(percent) > 100)
    throw new PluginError('INVALID_PARAMS', `${flag} takes a percentage such as 1 or 0.5%, not '${text}'`);
  return Number(percent) / 100;
}

/** The generator mulberry32: the same numbers for the same seed, from 0 up to 1. */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
