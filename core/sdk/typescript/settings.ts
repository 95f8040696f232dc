// What a service may say about its configuration before it is read: a module that its manifest names under `settings:`.

/** A line of a configuration file. */
export interface SettingsEntry {
  readonly key: string;
  readonly value: string;
  /** Where it stands; without it, the answer itself is named in messages. */
  readonly file?: string;
  readonly line?: number;
}

export interface SettingsQuestion {
  /** Absolute path of the file that was named. */
  readonly file: string;
  /** What it says now, with the files beside it that belong to it; undefined if there is no such file. @throws ConfigError */
  read(): readonly SettingsEntry[] | undefined;
}

export interface SettingsAnswer {
  /** Count in place of the file's. */
  readonly entries: readonly SettingsEntry[];
  /** For the log, once there is one. */
  readonly remarks?: readonly { readonly level: 'info' | 'warn' | 'error'; readonly message: string }[];
}

export interface SettingsChooser {
  /** Undefined if the file counts as it is. Throws to keep the service from starting. */
  choose(question: SettingsQuestion): Promise<SettingsAnswer | undefined>;
}

/** Marks such a module's default export. */
export function defineSettings(choose: SettingsChooser['choose']): SettingsChooser {
  return { choose };
}
