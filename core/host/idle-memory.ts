// Gives memory back after a burst: V8 keeps what it once grew to, since it collects only when it allocates.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const lookEveryMs = 5_000;
/** Growth since the last time that makes a collection worth its milliseconds. */
const growthBytes = 16 * 1024 * 1024;

/** Collects when this process has done next to nothing for some seconds and has grown before. Returns the end of it. */
export function collectWhenIdle(): () => void {
  let collect: (() => void) | undefined;
  let settled = 0;
  let usage = process.cpuUsage();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(usage);
    usage = process.cpuUsage();
    const idle = (user + system) / 1000 < lookEveryMs / 50;
    if (!idle || process.memoryUsage.rss() - settled < growthBytes) return;
    collect ??= garbageCollector();
    collect();
    settled = process.memoryUsage.rss();
  }, lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
