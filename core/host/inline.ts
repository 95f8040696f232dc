// Runs a first-party plugin in the host's own process: the same contract and messages, carried in memory.

import { memoryCarriers } from '../protocol/memory.ts';
import { lifecycle } from '../protocol/messages.ts';
import { Peer } from '../protocol/peer.ts';
import { servePlugin } from '../sdk/typescript/serve.ts';
import { type End, type Instance, initialize, PeerInstance, type StartOptions } from './instance.ts';

export async function startInline(options: StartOptions): Promise<Instance> {
  const { spec, runtime, log } = options;
  if (spec.moduleUrl === undefined) throw new Error(`${spec.kind}/${spec.name} is inline and has no module`);
  const definition = options.definition ?? (await runtime.module(spec.moduleUrl));
  const [near, far] = memoryCarriers({ strict: options.strict });
  let expected = false;
  let end: (value: End) => void = () => undefined;
  const ended = new Promise<End>((resolve) => {
    end = resolve;
  });
  const peer = new Peer({
    carrier: near,
    onRequest: options.onRequest,
    onViolation: (what) => log.warn({}, `plugin ${what}`),
    onClosed: (reason) => end({ expected, reason: reason.message }),
  });
  servePlugin(definition, { carrier: far, logSink: (level, message, fields) => log[level](fields, message) });
  let answer: Awaited<ReturnType<typeof initialize>>;
  try {
    answer = await initialize(peer, options);
  } catch (error) {
    peer.close(new Error('it did not start'));
    throw error;
  }
  const stop = async (graceMs: number) => {
    if (expected) return;
    expected = true;
    await peer
      .call(lifecycle.shutdown, {}, { deadlineMs: graceMs })
      .catch((error: Error) => log.warn({}, `shutdown failed: ${error.message}`));
    peer.close(new Error('stopped'));
  };
  return new PeerInstance({ peer, answer }, { runner: 'inline', ended, stop });
}
