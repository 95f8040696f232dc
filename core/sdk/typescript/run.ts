// Runs a plugin module as a process of its own: `node run.js <module>`. The protocol has stdin and stdout to itself;
// whatever the module prints goes to stderr.

import { pathToFileURL } from 'node:url';
import { PipeCarrier } from '../../protocol/pipe.ts';
import { stderrSink } from './log.ts';
import type { PluginDefinition } from './plugin.ts';
import { registerHooks } from './resolve.ts';
import { servePlugin } from './serve.ts';

/** Time for what was written last to leave before the process exits. */
const lingerMs = 50;

function runPlugin(definition: PluginDefinition, output: NodeJS.WriteStream): void {
  const carrier = new PipeCarrier({ input: process.stdin, output });
  const leave = () => {
    carrier.close();
    output.end(() => process.exit(0));
    setTimeout(() => process.exit(0), lingerMs).unref();
  };
  servePlugin(definition, {
    carrier,
    logSink: stderrSink,
    onAgreed: ({ limits, bytes }) => carrier.agree({ maxLineBytes: limits.maxLineBytes, bytes }),
    onShutdown: leave,
    onClosed: leave,
  });
}

/** Hands out the real stdout, and points everything else in this process that prints at stderr. */
function keepStdoutForProtocol(): NodeJS.WriteStream {
  const protocol = process.stdout;
  Object.defineProperty(process, 'stdout', { value: process.stderr, configurable: true });
  globalThis.console = new console.Console({ stdout: process.stderr, stderr: process.stderr });
  return protocol;
}

async function main(): Promise<void> {
  const [modulePath] = process.argv.slice(2);
  if (!modulePath) throw new Error('usage: node run.js <module>');
  // Before anything of the module runs, since it may print while it is loaded.
  const output = keepStdoutForProtocol();
  registerHooks();
  const loaded = (await import(pathToFileURL(modulePath).href)) as { default?: PluginDefinition };
  if (!loaded.default?.kind) throw new Error(`${modulePath} has no default export made by definePlugin`);
  runPlugin(loaded.default, output);
}

await main();
