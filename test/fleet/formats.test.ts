// What goes over the wire, held against the official schemas and DDLs where they are at hand.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { ddlWarnings, readDdl } from '../../plugins/wire/ddl.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { requestText, secureReplyText, secureRequestText, transportBytes } from '../../plugins/wire/v1/messages.ts';

const conformance = fileURLToPath(new URL('../../../shared/conformance', import.meta.url));
const ours = fileURLToPath(new URL('../../ddl/agents', import.meta.url));

describe.skipIf(!existsSync(conformance))('a message fits the official schema', () => {
  const envelope = { id: '0'.repeat(32), sender: 'a.test', agent: 'rpcutil', time: 1_700_000_000, body: '{}' };
  const request = requestText({
    ...envelope,
    caller: 'choria=bob.mcollective',
    collective: 'mcollective',
    ttl: 60,
    filter: emptyFilter,
  });
  const reply = secureReplyText(envelope);
  const transport = transportBytes(reply, {
    replyTo: 'mcollective.reply.x.y',
    sender: 'a.test',
    seenBy: [['nats://b:4222', 'a.test', 'nats://b:4222']],
  });
  test.each([
    ['request', request],
    ['secure_request', secureRequestText(request, 'c2ln', '-----BEGIN CERTIFICATE-----')],
    ['secure_reply', reply],
    ['reply', (JSON.parse(reply) as { message: string }).message],
    ['transport', Buffer.from(transport).toString()],
  ])('%s', (name, text) => {
    const {
      $schema: _draft,
      $id: _id,
      id: _old,
      ...schema
    } = JSON.parse(readFileSync(`${conformance}/schemas/choria/protocol/v1/${name}.json`, 'utf8'));
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    expect([validate(JSON.parse(text)), validate.errors]).toEqual([true, null]);
  });
});

interface Ddl {
  readonly metadata: Record<string, unknown>;
  readonly actions: readonly {
    action: string;
    display?: string;
    input: Record<string, Record<string, unknown>>;
    output: Record<string, Record<string, unknown>>;
    aggregate?: unknown;
  }[];
}

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Ddl;

describe('a DDL of ours', () => {
  const bundled = readdirSync(`${distributionRoot()}/agents`)
    .map((name) => `${distributionRoot()}/agents/${name}/ddl.json`)
    .filter((file) => existsSync(file));
  test.each([...readdirSync(ours).map((file) => `${ours}/${file}`), ...bundled])('%s is a DDL', (file) => {
    expect(readDdl(read(file), file).actions.length).toBeGreaterThan(0);
    expect(ddlWarnings('agent', read(file))).toEqual([]);
  });

  test.skipIf(!existsSync(conformance)).each([
    ['rpcutil', `${ours}/rpcutil.json`],
    ['choria_util', `${ours}/choria_util.json`],
    ['aaa_signer', `${ours}/aaa_signer.json`],
    ['package', `${distributionRoot()}/agents/package/ddl.json`],
    ['choria_provision', `${distributionRoot()}/plugins/provisioning-agent/ddl.json`],
  ])('%s has the names, types and patterns of the official one', (name, file) => {
    // Sentences are our own; everything that a program reads is equal.
    const shape = ({ metadata, actions }: Ddl) => ({
      name: metadata.name,
      timeout: metadata.timeout,
      actions: Object.fromEntries(
        [...actions]
          .sort((a, b) => (a.action < b.action ? -1 : 1))
          .map(({ action, display, input, output }) => [
            action,
            {
              display,
              input: Object.fromEntries(
                Object.entries(input).map(([key, { type, validation, maxlength, optional, default: preset, list }]) => [
                  key,
                  { type, validation, maxlength, optional: optional ?? false, preset, list },
                ]),
              ),
              output: Object.fromEntries(
                Object.entries(output).map(([key, { type, default: preset }]) => [key, { type, preset }]),
              ),
            },
          ]),
      ),
    });
    expect(shape(read(file))).toEqual(shape(read(`${conformance}/ddl/${name}.json`)));
  });

  /** Of the published DDLs: inputs as `name type validation maxlength`, `?` if they may be missing, and outputs. */
  type Published = Readonly<Record<string, readonly [inputs: readonly string[], outputs: readonly string[]]>>;
  const [service, command, user] = ['service string service_name 90', 'command string .* 10240', 'user? string .* 1024'];
  const handle = 'handle string ^[0-9a-z\\-]*$ 36';
  const published: Readonly<Record<string, Published>> = {
    process: { list: [['pattern? string shellsafe 50', 'just_zombies? boolean', 'user? string shellsafe 50'], ['pslist']] },
    service: {
      restart: [[service], ['status']],
      start: [[service], ['status']],
      status: [[service], ['status']],
      stop: [[service], ['status']],
    },
    shell: {
      kill: [[handle], []],
      list: [[], ['jobs']],
      run: [
        [command, user, 'timeout? float'],
        ['stdout', 'stderr', 'success', 'exitcode'],
      ],
      start: [[command, user], ['handle']],
      status: [
        [handle, 'stdout_offset? integer', 'stderr_offset? integer'],
        ['status', 'stdout', 'stderr', 'exitcode'],
      ],
      statuses: [['handles array'], ['statuses']],
    },
  };
  test.each(Object.entries(published))('%s takes and tells what scripts for the published one use', (name, expected) => {
    const { actions } = read(fileURLToPath(new URL(`../../agents/${name}/ddl.json`, import.meta.url)));
    expect(actions.map(({ action }) => action).sort()).toEqual(Object.keys(expected));
    for (const { action, input, output } of actions) {
      const inputs = Object.entries(input).map(([key, { type, optional, validation, maxlength }]) =>
        [`${key}${optional ? '?' : ''}`, type, validation, maxlength].filter((part) => part !== undefined).join(' '),
      );
      const [known, told] = expected[action] ?? [[], []];
      expect(inputs).toEqual(expect.arrayContaining([...known]));
      expect(Object.keys(output)).toEqual(expect.arrayContaining([...told]));
      // What is taken beyond it can't be asked of a script that does not know it.
      expect(inputs.filter((text) => !known.includes(text) && !text.includes('? '))).toEqual([]);
    }
  });
});
