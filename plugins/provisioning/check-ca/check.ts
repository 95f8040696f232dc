// The check: samples go out, one after the other, and what comes back is held against the rules.

import { readCertificate } from '../../wire/pki/certificate.ts';
import type { Subject } from '../../wire/pki/names.ts';
import type { ProvisionReply } from '../../wire/provisioning/reply.ts';
import {
  checkPem,
  inspect,
  inspectKey,
  inspectNames,
  inspectSettings,
  inspectSubject,
  inspectTrust,
  type Limits,
  type Signed,
} from './certificate-rules.ts';
import { checkRevocation } from './revocation.ts';
import { type Finding, failed, noCertificate, passed, type RuleId, ruleIds, skipped } from './rules.ts';
import { type KeyKind, type KeyPair, makeKeys, makeSample, type Sample, type SamplePlan, sampleNames } from './samples.ts';
import { inspectSignature } from './signature-rule.ts';
import { limitMs, type Target } from './target.ts';

export interface CheckOptions extends Limits {
  readonly domain: string;
  readonly revoke: boolean;
  /** Makes keys for samples. */
  readonly keys?: typeof makeKeys;
}

/** What a hook did with a sample. */
type Outcome =
  | { readonly did: 'signed'; readonly reply: Signed; readonly ms: number }
  | { readonly did: 'refused'; readonly why: string; readonly ms: number };

const askedSubject: Subject = { C: 'MT', L: 'Valletta', O: 'Muster Check', OU: 'Fleet' };
/** A name that Choria takes for a caller who may act for others. */
const callerName = 'muster-check.privileged.choria';
const leastSerialBytes = 8;
/** Timers may fire a little before their time. */
const earlyMs = 20;

export class Check {
  readonly #target: Target;
  readonly #options: CheckOptions;
  readonly #keys: typeof makeKeys;
  readonly #name: (what: string) => string;
  readonly #findings: Finding[] = [];
  readonly #serials: string[] = [];
  #slowestMs = 0;

  constructor(target: Target, options: CheckOptions) {
    this.#target = target;
    this.#options = options;
    this.#keys = options.keys ?? makeKeys;
    this.#name = sampleNames(options.domain);
  }

  /** How many certificates were given out. */
  get issued(): number {
    return this.#serials.length;
  }

  /** All rules but the rate. `onStep` is told how many of how many samples are done. */
  async run(onStep: (done: number, of: number) => void): Promise<Finding[]> {
    const keys = await this.#keys('rsa2048');
    const first = makeSample({ identity: this.#name('node'), keys });
    const outcome = await this.#ask(first);
    if (outcome.did === 'refused') return this.#unanswered(outcome.why);
    this.#add(passed('answer', 'it signed a request as nodes make it'));
    const readable = await this.#inspectFirst(first, outcome.reply);
    const steps: readonly (() => Promise<void>)[] = [
      () => this.#keyKind('rsa4096', 'rsa4096'),
      () => this.#keyKind('ecdsa', 'ecdsa'),
      () => this.#keyKind('ed25519', 'ed25519'),
      () => this.#subject(keys),
      () => this.#extraNames(keys),
      () => this.#reissue(first, outcome.reply),
      ...this.#refusals(keys),
    ];
    for (const [index, step] of (readable ? steps : []).entries()) {
      await step();
      onStep(index + 1, steps.length);
    }
    this.#add(
      this.#isLate
        ? failed('time', `the slowest took ${seconds(this.#slowestMs)}`)
        : passed('time', `the slowest took ${seconds(this.#slowestMs)}`),
    );
    if (readable) this.#serialNumbers();
    return this.#complete(noCertificate);
  }

  #add(...findings: readonly Finding[]): void {
    this.#findings.push(...findings);
  }

  /** What was not looked at is said, too. */
  #complete(why: string): Finding[] {
    const known = new Map(this.#findings.map((finding) => [finding.rule, finding]));
    return ruleIds.filter((rule) => rule !== 'rate').map((rule) => known.get(rule) ?? skipped(rule, why));
  }

  #unanswered(why: string): Finding[] {
    this.#add(failed('answer', why));
    if (this.#isLate) this.#add(failed('time', `it took ${seconds(this.#slowestMs)}`));
    return this.#complete(noCertificate);
  }

  get #isLate(): boolean {
    return this.#slowestMs >= limitMs - earlyMs;
  }

  async #ask({ request }: Sample): Promise<Outcome> {
    const start = performance.now();
    const took = () => {
      const ms = performance.now() - start;
      this.#slowestMs = Math.max(this.#slowestMs, ms);
      return ms;
    };
    try {
      const reply = await this.#target.provision(request);
      const ms = took();
      const { certificate } = reply;
      if (reply.defer || reply.shutdown || !certificate) return { did: 'refused', why: reasonOf(reply), ms };
      this.#remember(certificate);
      return { did: 'signed', reply: { ...reply, certificate }, ms };
    } catch (error) {
      return { did: 'refused', why: (error as Error).message, ms: took() };
    }
  }

  #remember(certificate: string): void {
    try {
      this.#serials.push(readCertificate(certificate).x509.serialNumber);
    } catch {
      // The rule on PEM tells of it.
    }
  }

  async #inspectFirst(sample: Sample, reply: Signed): Promise<boolean> {
    const { details, finding } = checkPem(reply);
    this.#add(finding, inspectSettings(reply));
    if (!details) return false;
    this.#add(
      inspectKey('key', details, sample, reply),
      ...inspect(details, sample, this.#options),
      inspectSignature(reply.certificate),
      ...(await inspectTrust(reply, sample)),
    );
    return true;
  }

  async #keyKind(rule: RuleId & KeyKind, kind: KeyKind): Promise<void> {
    const sample = makeSample({ identity: this.#name(kind), keys: await this.#keys(kind) });
    const outcome = await this.#ask(sample);
    if (outcome.did === 'refused') {
      this.#add(rule === 'rsa4096' ? failed(rule, outcome.why) : skipped(rule, `refused: ${outcome.why}`));
      return;
    }
    const { details } = checkPem(outcome.reply);
    this.#add(details ? inspectKey(rule, details, sample, outcome.reply) : failed(rule, 'the certificate can not be read'));
  }

  async #subject(keys: KeyPair): Promise<void> {
    const outcome = await this.#ask(makeSample({ identity: this.#name('subject'), keys, subject: askedSubject }));
    if (outcome.did === 'refused')
      return this.#add(failed('subject', `a request with C, L, O and OU was refused: ${outcome.why}`));
    const { details, finding } = checkPem(outcome.reply);
    this.#add(details ? inspectSubject(details, askedSubject) : { ...finding, rule: 'subject' });
  }

  async #extraNames(keys: KeyPair): Promise<void> {
    const identity = this.#name('names');
    const alias = `www.${identity}`;
    const outcome = await this.#ask(makeSample({ identity, keys, names: [identity, alias] }));
    if (outcome.did === 'refused') return this.#add(skipped('extra', `refused: ${outcome.why}`));
    const names = checkPem(outcome.reply).details?.names?.dns ?? [];
    if (!names.includes(identity)) this.#add(failed('extra', `${identity} was lost when ${alias} was asked for as well`));
    else this.#add(passed('extra', names.includes(alias) ? names.join(', ') : `${alias} was left out`));
  }

  async #reissue(first: Sample, before: Signed): Promise<void> {
    const again = makeSample({ identity: first.identity, keys: await this.#keys('rsa2048') });
    const outcome = await this.#ask(again);
    if (outcome.did === 'refused') this.#add(failed('reissue', outcome.why));
    else {
      const { details } = checkPem(outcome.reply);
      this.#add(
        details ? inspectKey('reissue', details, again, outcome.reply) : failed('reissue', 'the certificate can not be read'),
      );
    }
    this.#add(
      this.#options.revoke
        ? await checkRevocation(this.#target, before.certificate)
        : skipped('revoke', 'not asked for; --revoke does'),
    );
  }

  /** Samples that must not be signed, or not as they are. */
  #refusals(keys: KeyPair): (() => Promise<void>)[] {
    const victim = this.#name('victim');
    const plans: readonly (readonly [rule: RuleId, plan: () => Promise<Sample>])[] = [
      ['denied', () => this.#plan({ identity: callerName, keys })],
      ['proof', () => this.#plan({ identity: this.#name('proof'), keys, alter: spoilSignature })],
      ['weak', async () => this.#plan({ identity: this.#name('weak'), keys: await this.#keys('rsa1024') })],
      ['garbage', () => this.#plan({ identity: this.#name('garbage'), keys, alter: () => 'this is no certificate request\n' })],
    ];
    return [
      ...plans.map(([rule, plan]) => async () => {
        const outcome = await this.#ask(await plan());
        this.#add(outcome.did === 'signed' ? failed(rule, 'it was signed') : passed(rule, outcome.why));
      }),
      () => this.#otherName(keys, victim),
      () => this.#foreignName(keys, victim),
    ];
  }

  /** A sample for one name with a request for, maybe, another. */
  async #plan(plan: SamplePlan, requested = plan.identity): Promise<Sample> {
    const sample = makeSample({ ...plan, identity: requested });
    return { ...sample, identity: plan.identity, request: { ...sample.request, identity: plan.identity } };
  }

  /** A hook may also sign the key for the name that the node has, whatever the request says. */
  async #otherName(keys: KeyPair, victim: string): Promise<void> {
    const identity = this.#name('mismatch');
    const outcome = await this.#ask(await this.#plan({ identity, keys }, victim));
    if (outcome.did === 'refused') return this.#add(passed('mismatch', outcome.why));
    const { details } = checkPem(outcome.reply);
    const isOwn =
      details?.subject.CN === identity && inspectNames(details, identity).every(({ verdict }) => verdict === 'passed');
    this.#add(
      isOwn
        ? passed('mismatch', `it was signed for ${identity}`)
        : failed('mismatch', `it was signed for ${details?.subject.CN}`),
    );
  }

  /** One after the other: a hook may refuse the one and let the other pass. */
  async #foreignName(keys: KeyPair, victim: string): Promise<void> {
    const told: string[] = [];
    for (const name of [victim, `*.${this.#options.domain}`]) {
      const identity = this.#name('foreign');
      const outcome = await this.#ask(makeSample({ identity, keys, names: [identity, name] }));
      if (outcome.did === 'refused') {
        told.push(outcome.why);
        continue;
      }
      const { details } = checkPem(outcome.reply);
      const wrong =
        details && inspectNames(details, identity).find(({ rule, verdict }) => rule === 'names' && verdict === 'failed');
      if (wrong) return this.#add(failed('foreign', wrong.detail));
      told.push(`${name} was left out`);
    }
    this.#add(passed('foreign', told.join('; ')));
  }

  #serialNumbers(): void {
    const twice = this.#serials.find((serial, index) => this.#serials.indexOf(serial) !== index);
    // A long one may happen to begin with zeros, so the longest counts.
    const longest = Math.max(...this.#serials.map((serial) => Math.ceil(serial.length / 2)));
    if (twice !== undefined) this.#add(failed('serial', `${twice} came twice`));
    else if (longest < leastSerialBytes)
      this.#add(failed('serial', `${this.#serials[0]} has ${longest} bytes, and can be guessed`));
    else this.#add(passed('serial', `${this.#serials.length} different ones, such as ${this.#serials[0]}`));
  }
}

function reasonOf({ defer, shutdown, msg }: ProvisionReply): string {
  const said = msg ? `: ${msg}` : ' and gave no reason';
  if (defer) return `it put the node off${said}`;
  if (shutdown) return `it turned the node away${said}`;
  return 'there is no `certificate` in its answer';
}

/** Another last byte of the signature. */
function spoilSignature(csr: string): string {
  const body = Buffer.from(csr.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  body[body.length - 1] = (body.at(-1) ?? 0) ^ 0xff;
  const lines = body.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 1_000 ? 3 : 1)} s`;
}
