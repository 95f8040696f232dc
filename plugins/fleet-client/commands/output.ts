// What a format of `req` is: it takes replies as they come, and the outcome.

import type { CanaryVerdict } from '../canary.ts';
import type { Received } from '../collector.ts';
import type { Discovered } from '../discovery.ts';
import type { NodeReply, RequestStatistics } from '../options.ts';

export interface Outcome {
  /** If the output keeps them; sorted if that was asked for. */
  readonly replies: readonly NodeReply[];
  readonly statistics: RequestStatistics;
  readonly canary: CanaryVerdict | undefined;
}

/** A format of the result. A promise that `reply` returns holds the next reply back. */
export interface Output {
  readonly keepsReplies: boolean;
  /** @param source that is going to be asked for the nodes */
  begin?(source: string): void;
  discovered?(discovered: Discovered, targets: readonly string[]): void;
  reply?(reply: NodeReply, message: Received): Promise<void> | undefined;
  end(outcome: Outcome): Promise<void>;
}
