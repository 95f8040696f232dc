import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { describe, expect, it } from 'vitest';
import { until } from '../support/folders.ts';
import { LoginService } from '../support/login-service.ts';
import { goProgram } from '../support/provisioning.ts';

const password = 'open:sesame';
const good = 'package io.choria.aaasvc\nimport rego.v1\ndefault allow := false\nallow if input.action == "ping"\n';

describe('policies of users', () => {
  it('are made ready when the list is loaded; one that can not be keeps nobody from logging in', async () => {
    const opa = await goProgram('opa');
    const hash = await (await import('@node-rs/bcrypt')).hash(password, 4);
    const service = await LoginService.start(
      (folder) => {
        writeFileSync(join(folder, 'seed'), '24'.repeat(32));
        writeFileSync(join(folder, 'anna.rego'), good);
        const users = [
          { username: 'anna', password: hash, opa_policy_file: join(folder, 'anna.rego') },
          { username: 'bob', password: hash, opa_policy: 'package io.choria.aaasvc\nallow if no_such_function(1)\n' },
          { username: 'carla', password: hash, opa_policy_file: join(folder, 'missing.rego') },
        ];
        return {
          authenticator: 'userlist',
          userlist_authenticator: { validity: '1h', users, signing_key: join(folder, 'seed') },
        };
      },
      { config: { 'plugin.muster.opa': opa } },
    );
    try {
      // The first login loads the list.
      expect(decodeJwt((await service.login('anna', password)).body.token ?? '').opa_policy).toBe(good);
      await until('the bad policy is told', () => service.said.includes('the policy of bob can not be compiled'));
      expect((await service.login('bob', password)).body.token).toBeDefined();
      expect(service.said).not.toContain('the policy of anna');
      expect((await service.login('carla', password)).body).toEqual({ error: 'Login failed' });
      expect(service.said).toContain('the policy of the user can not be read');
      // It is read at each login.
      const other = `${good}allow if input.action == "report"\n`;
      writeFileSync(join(service.folder, 'anna.rego'), other);
      expect(decodeJwt((await service.login('anna', password)).body.token ?? '').opa_policy).toBe(other);
    } finally {
      await service.stop();
    }
  });
});
