// One connection to a directory: it searches, and says whether a password is right.

import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import type { Client, Entry } from 'ldapts';

export interface DirectoryOptions {
  readonly urls: readonly string[];
  readonly startTls: boolean;
  readonly ca: string | undefined;
}

/** The message is for the log. */
export class DirectoryError extends Error {
  override readonly name = 'DirectoryError';
  readonly code = 'LDAP_DIRECTORY';
}

const connectMs = 4_000;
const operationMs = 8_000;
const mostEntries = 1_000;

export class Directory {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  /** To the first that can be reached. @throws DirectoryError with what each of them said */
  static async connect({ urls, startTls, ca }: DirectoryOptions, bind: (client: Directory) => Promise<void>): Promise<Directory> {
    const { Client } = await import('ldapts');
    const problems: string[] = [];
    for (const url of urls) {
      const { hostname, protocol } = new URL(url);
      const tlsOptions = tlsFor(hostname, ca);
      const client = new Client({
        url,
        connectTimeout: connectMs,
        timeout: operationMs,
        ...(protocol === 'ldaps:' && { tlsOptions }),
      });
      const directory = new Directory(client);
      try {
        if (startTls && protocol === 'ldap:') await client.startTLS(tlsOptions);
        await bind(directory);
        return directory;
      } catch (error) {
        await directory.close();
        problems.push(`${url}: ${(error as Error).message}`);
      }
    }
    throw new DirectoryError(`the directory can not be asked: ${problems.join('; ')}`);
  }

  /** @throws DirectoryError if the directory says neither yes nor no */
  async isPasswordOf(dn: string, password: string): Promise<boolean> {
    // A directory takes an empty one for somebody who does not want to be known, and says yes.
    if (password === '') return false;
    const { InvalidCredentialsError, InvalidDNSyntaxError, NoSuchObjectError } = await import('ldapts');
    try {
      await this.#client.bind(dn, password);
      return true;
    } catch (error) {
      const isNo = [InvalidCredentialsError, InvalidDNSyntaxError, NoSuchObjectError].some((kind) => error instanceof kind);
      if (isNo) return false;
      throw new DirectoryError(`the directory did not check a password: ${(error as Error).message}`, { cause: error });
    }
  }

  /** @throws Error of ldapts */
  async bind(dn: string, password: string): Promise<void> {
    await this.#client.bind(dn, password);
  }

  /** @throws DirectoryError */
  async search(
    base: string,
    {
      filter,
      scope,
      attributes,
    }: { readonly filter: string; readonly scope: 'base' | 'sub'; readonly attributes: readonly string[] },
  ): Promise<readonly Entry[]> {
    const { NoSuchObjectError } = await import('ldapts');
    const timeLimit = operationMs / 1_000;
    try {
      const options = { filter, scope, attributes: [...attributes], sizeLimit: mostEntries, timeLimit };
      return (await this.#client.search(base, options)).searchEntries;
    } catch (error) {
      if (error instanceof NoSuchObjectError) return [];
      throw new DirectoryError(`the directory did not search in ${base}: ${(error as Error).message}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.#client.unbind().catch(() => undefined);
  }
}

/** The values of an attribute, as text. */
export function valuesOf(entry: Entry, attribute: string): string[] {
  const key = Object.keys(entry).find((name) => name.toLowerCase() === attribute.toLowerCase());
  const value = key === undefined ? [] : (entry[key] ?? []);
  return (Array.isArray(value) ? value : [value]).map((one) =>
    typeof one === 'string' ? one : Buffer.from(one).toString('utf8'),
  );
}

/** Against the name that was configured, also where TLS begins on a connection that is there. */
function tlsFor(hostname: string, ca: string | undefined): ConnectionOptions {
  const host = hostname.replace(/^\[|\]$/g, '');
  return { host, ...(isIP(host) === 0 && { servername: host }), minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) };
}
