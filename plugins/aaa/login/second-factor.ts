// The second factor of whoever logs in, by whichever authenticator: a code that changes with time, or a recovery code.

import { existsSync, readFileSync } from 'node:fs';
import { KeptFile } from '../../wire/aaa/kept-file.ts';
import {
  type SecondFactor as Entry,
  openFactor,
  readFactorKey,
  readSecondFactors,
  recoveryHash,
  type SecondFactors,
} from '../../wire/aaa/second-factors.ts';
import { isRecoveryCode, splitCode, stepOfCode } from '../../wire/aaa/totp.ts';
import type { UsedCodes } from './used-codes.ts';

export interface SecondFactorSettings {
  readonly file: string;
  readonly key: string;
  /** Whether nobody logs in without. */
  readonly required: boolean;
}

/** What was typed where only one text can be: the password, and behind it a code. */
export interface TypedPassword {
  readonly password: string;
  readonly code: string | undefined;
}

export class SecondFactor {
  readonly #settings: SecondFactorSettings | undefined;
  readonly #file: KeptFile<SecondFactors> | undefined;
  readonly #used: UsedCodes;
  readonly #onProblem: (message: string) => void;
  #last: SecondFactors | undefined;
  #problem: string | undefined;

  constructor(settings: SecondFactorSettings | undefined, used: UsedCodes, onProblem: (message: string) => void) {
    this.#settings = settings;
    this.#file = settings && new KeptFile(settings.file, (path) => readSecondFactors(readFileSync(path, 'utf8'), path));
    this.#used = used;
    this.#onProblem = onProblem;
  }

  /** Every problem with its files. That there is none yet is no problem: nobody has a second factor. */
  problems(): string[] {
    if (!this.#settings || !this.#file || !existsSync(this.#settings.file)) return [];
    const { key } = this.#settings;
    return [() => void this.#file?.read(), () => void readFactorKey(key)].flatMap((look) => {
      try {
        look();
        return [];
      } catch (error) {
        return [`login.second_factor: ${(error as Error).message}`];
      }
    });
  }

  get isUsed(): boolean {
    return this.#settings !== undefined;
  }

  get isThere(): boolean {
    return this.#settings !== undefined && existsSync(this.#settings.file);
  }

  get isRequired(): boolean {
    return this.#settings?.required ?? false;
  }

  /** Where a user of this name has a second factor, the end of what he typed is the code. */
  split(username: string, typed: string): TypedPassword {
    if (!this.#hasFactor(username)) return { password: typed, code: undefined };
    return splitCode(typed);
  }

  /**
   * Uses up the code. To be asked when everything else was good, also without a code.
   * @returns why not, for the log; undefined if the user may go on
   */
  async check(caller: string, code: string | undefined, must: boolean, nowSeconds: number): Promise<string | undefined> {
    const factor = this.#factors()?.users[caller];
    if (!factor) return must || this.isRequired ? 'the user must have a second factor, and has none' : undefined;
    if (code === undefined) return 'the code of the second factor is missing';
    try {
      return await this.#use(caller, factor, code, nowSeconds);
    } catch (error) {
      this.#onProblem(`the second factor of ${caller} can not be checked: ${(error as Error).message}`);
      return 'the second factor can not be checked';
    }
  }

  async #use(caller: string, factor: Entry, code: string, nowSeconds: number): Promise<string | undefined> {
    const key = readFactorKey(this.#settings?.key ?? '');
    if (isRecoveryCode(code)) {
      const hash = recoveryHash(caller, code, key);
      if (!factor.recovery.includes(hash)) return 'the recovery code is wrong';
      return (await this.#used.useRecovery(hash)) ? undefined : 'the recovery code was used before';
    }
    const step = await stepOfCode(openFactor(caller, factor, key), code, nowSeconds);
    if (step === undefined) return 'the code of the second factor is wrong';
    // A factor that was made anew has codes that were never used.
    return (await this.#used.useStep(`${caller}\0${factor.created}`, step)) ? undefined : 'the code was used before';
  }

  /** By whatever authenticator; some of them write names in another case than whoever typed them. */
  #hasFactor(username: string): boolean {
    const name = username.toLowerCase();
    const callers = Object.keys(this.#factors()?.users ?? {});
    return callers.some((caller) => caller.slice(caller.indexOf('=') + 1).toLowerCase() === name);
  }

  /** While the file can not be read, what it said before; without that nobody gets past. */
  #factors(): SecondFactors | undefined {
    if (!this.#file || (!this.#last && !existsSync(this.#file.path))) return undefined;
    try {
      this.#last = this.#file.read();
      this.#problem = undefined;
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#problem) this.#onProblem(message);
      this.#problem = message;
      if (!this.#last) throw error;
    }
    return this.#last;
  }
}
