// A signer that decides by the policy in the caller's token, on a machine without a compiler.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAuthority } from '../../plugins/overlay/ca.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { temporaryFolder } from '../support/folders.ts';
import { type RequestPlan, SignerService, secureOf, type User } from '../support/signer-service.ts';

const onCall = readFileSync(fileURLToPath(new URL('../../fixtures/policies/on-call.rego', import.meta.url)), 'utf8');
const { path: folder, remove } = temporaryFolder();
const rollout: RequestPlan = { agent: 'webstack', action: 'rollout', collective: 'production' };
const toMalta = { ...emptyFilter, fact: [{ fact: 'country', operator: '==', value: 'mt' }] };

let service: SignerService;
let anna: User;
beforeAll(async () => {
  service = await SignerService.start(await openAuthority(join(folder, 'ca'), 'Test CA'), {
    settings: { authorizer: 'opa' },
    config: { 'plugin.muster.opa': 'no-such-program', 'plugin.muster.policies.shared': false },
  });
  anna = await service.user('anna', { agents: [], opaPolicy: onCall });
});
afterAll(async () => {
  await service?.stop();
  remove();
});

test('signs what the policy allows for the filter that the request has', async () => {
  expect(secureOf(await service.sign(anna, { ...rollout, filter: toMalta }))).toMatchObject({ signature: expect.any(String) });
  expect(secureOf(await service.sign(anna, { ...rollout, collective: 'development' }))).toBeDefined();
});

test('refuses what it does not allow, and says what was missing', async () => {
  const { status, body } = await service.sign(anna, rollout);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    error: 'Request denied',
    reason: expect.stringMatching(/asks for a filter on the fact country=mt/),
  });
});

test('what the body claims to be counts for nothing', async () => {
  const body = JSON.stringify({
    agent: 'webstack',
    action: 'rollout',
    data: {},
    collective: 'development',
    senderid: 'jump1',
    ttl: 1,
  });
  const { body: answer } = await service.sign(anna, { ...rollout, body });
  expect(answer).toMatchObject({ error: 'Request denied' });
});
