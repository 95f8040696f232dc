// Temporary folders and free ports, given back when the test ends.

import { randomInt } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'muster-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/** Below those that the system gives to connections, which would take one that is free for a while, as when a broker restarts. */
const [firstPort, endOfPorts] = [20_000, 32_000];
/** At least as many as files are run at once: what one has found free, and does not use yet, no other one finds. */
const shares = 4;
const ports = portsOfThisWorker();

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = ports.next().value;
    if (await isFree(port)) return port;
  }
  throw new Error(`none of 100 ports between ${firstPort} and ${endOfPorts} is free`);
}

/** One after the other, so that none is given twice. */
function* portsOfThisWorker(): Generator<number, never> {
  const size = (endOfPorts - firstPort) / shares;
  const first = firstPort + (Number(process.env.VITEST_POOL_ID ?? 0) % shares) * size;
  for (let at = randomInt(size); ; at = (at + 1) % size) yield first + at;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Writes a bundle: its manifest and files by name. Scripts become executable. */
export function writeBundle(
  parent: string,
  name: string,
  manifest: string,
  files: Readonly<Record<string, string>> = {},
): string {
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    if (text.startsWith('#!')) chmodSync(path, 0o755);
  }
  writeFileSync(join(folder, 'bundle.yaml'), manifest);
  return folder;
}

/** Waits until something holds. @throws Error that names it when the time is up */
export async function until<T>(what: string, probe: () => T | Promise<T>, limitMs = 30_000): Promise<NonNullable<T>> {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`it did not come about within ${limitMs} ms that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
