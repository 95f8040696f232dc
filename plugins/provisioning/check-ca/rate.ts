// How many certificates a minute a hook gives.

import { readCertificate } from '../../wire/pki/certificate.ts';
import { type Finding, failed, passed, skipped } from './rules.ts';
import { makeKeys, makeSample, sampleNames } from './samples.ts';
import type { Target } from './target.ts';

export interface RateOptions {
  readonly domain: string;
  readonly seconds: number;
  readonly workers: number;
  readonly perMinute: number;
}

export interface Rate {
  readonly finding: Finding;
  readonly issued: number;
  readonly failed: number;
  readonly perMinute: number;
}

const keyCount = 4;

/** Asks as fast as it answers. `onStep` is told how much of the time is over, and how many certificates there are. */
export async function takeRate(
  target: Target,
  { domain, seconds, workers, perMinute }: RateOptions,
  onStep: (ms: number, issued: number) => void,
  signal: AbortSignal,
): Promise<Rate> {
  if (seconds <= 0) return { finding: skipped('rate', 'not looked at (--rate-seconds 0)'), issued: 0, failed: 0, perMinute: 0 };
  const keys = await Promise.all(Array.from({ length: keyCount }, () => makeKeys('rsa2048')));
  const name = sampleNames(domain);
  const serials = new Set<string>();
  const start = performance.now();
  const over = () => performance.now() - start;
  let [asked, issued, refused, lastProblem] = [0, 0, 0, ''];
  const work = async () => {
    while (over() < seconds * 1_000 && !signal.aborted) {
      const [pair = keys[0]] = [keys[asked % keyCount]];
      asked += 1;
      if (!pair) return;
      try {
        const reply = await target.provision(makeSample({ identity: name(`rate${asked}`), keys: pair }).request);
        if (!reply.certificate) throw new Error(reply.msg || 'there is no certificate in its answer');
        serials.add(readCertificate(reply.certificate).x509.serialNumber);
        issued += 1;
      } catch (error) {
        refused += 1;
        lastProblem = (error as Error).message;
      }
      onStep(Math.min(over(), seconds * 1_000), issued);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  const rate = Math.round((issued * 60_000) / over());
  const measured = `${rate} a minute with ${workers} at once`;
  return { finding: findingOf(), issued, failed: refused, perMinute: rate };

  function findingOf(): Finding {
    if (serials.size < issued) return failed('rate', `${issued - serials.size} of ${issued} serial numbers came twice`);
    if (refused > 0) return failed('rate', `${refused} of ${asked} got no certificate, the last one because: ${lastProblem}`);
    if (rate < perMinute) return failed('rate', `${measured}; ${perMinute} are wanted`);
    return passed('rate', measured);
  }
}
