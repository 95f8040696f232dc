// All together, with processes of their own: nodes that have nothing but a token enrol through a broker that checks it, get an
// overlay, are renewed by an operator, and move to another overlay when theirs is drained.

import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { makeProvisioningToken } from '../../plugins/wire/tokens/provisioning.ts';
import { type Ran, runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { goProgram } from '../support/provisioning.ts';
import { NodeProcess } from '../support/provisioning-network.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const network = 'plugin.choria.network.provisioning';
const password = 'pr0v';
const names = ['n1.test', 'n2.test', 'n3.test'];
const { path: work, remove } = temporaryFolder();
const { privateKey } = generateKeyPairSync('ed25519');
const tokenFile = join(work, 'provisioning.jwt');
const overlaysFile = join(work, 'overlays.yaml');
const nodes: NodeProcess[] = [];
let a: Fleet;
let b: Fleet;
let provisioner: TestHost;
let clientFile: string;

/** Signs with the authority that the brokers of both overlays trust. */
const signer = (authority: string) =>
  dirname(
    writeBundle(
      join(work, 'signers'),
      'stub',
      'bundle: stub\nversion: 1.0.0\nplugins:\n  - { kind: provisioning-hook, name: stub, runner: inline, module: ./stub.mjs }\n',
      {
        'stub.mjs': `import { openAuthority } from '${distributionRoot()}/plugins/overlay/ca.js';
import { signFor } from '${distributionRoot()}/test/support/provisioning.js';
export default { kind: 'provisioning-hook', version: '1', methods: {
  'hook/provision': async ({ identity, csr }) => ({
    ...signFor(await openAuthority('${authority}', 'x'), csr.csr, identity),
    configuration: { identity, 'plugin.choria.server.provision': 'false', 'plugin.security.provider': 'file',
      'plugin.security.file.certificate': csr.ssldir + '/certificate.pem', 'plugin.security.file.key': csr.ssldir + '/private.pem',
      'plugin.security.file.ca': csr.ssldir + '/ca.pem', rpcauthorization: 'no',
      'plugin.muster.provisioning.restart_delay': '10' },
  }),
} };
`,
      },
    ),
  );

const overlays = (draining: string) => {
  const entry = (name: string, { port }: Fleet) =>
    `  - { name: ${name}, brokers: ["127.0.0.1:${port}"], draining: ${name === draining} }\n`;
  writeFileSync(overlaysFile, `overlays:\n${entry('a', a)}${entry('b', b)}`);
};
const seenIn = async (fleet: Fleet): Promise<string[]> => (await fleet.client()).find({}, 1_000);
const certificateOf = (name: string) =>
  readFileSync(join(nodes.find(({ identity }) => identity === name)?.folder ?? '', 'ssl/certificate.pem'), 'utf8');
const muster = (...args: string[]): Promise<Ran> => runMuster([...args, '--config', clientFile]);

beforeAll(async () => {
  vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
  const port = await freePort();
  a = await Fleet.start({
    [`${network}.port`]: port,
    [`${network}.client_password`]: password,
    [`${network}.signer_cert`]: publicHex(privateKey),
  });
  b = await Fleet.start({}, a.authority);
  overlays('b');
  const claims = { cht: 's3cret', chu: `127.0.0.1:${port}`, chpd: true };
  writeFileSync(
    tokenFile,
    await makeProvisioningToken({ claims, validitySeconds: 3_600 }, { algorithm: 'EdDSA', key: privateKey }),
  );
  provisioner = await startHost({
    distribution: true,
    bundles: [signer(a.authority.folder)],
    services: ['provisioner'],
    config: {
      ...(await a.certificate('provisioner.test')),
      identity: 'provisioner.test',
      'plugin.choria.middleware_hosts': `127.0.0.1:${port}`,
      'plugin.provisioner.broker_provisioning_password': password,
      'plugin.provisioner.token': claims.cht,
      'plugin.provisioner.jwt_verify_cert': publicHex(privateKey),
      'plugin.provisioner.features.jwt': true,
      'plugin.provisioner.features.pki': true,
      'plugin.provisioner.retry_min': '100ms',
      'plugin.provisioner.hook': 'placement',
      'plugin.muster.placement.hook': 'stub',
      'plugin.muster.placement.overlays': overlaysFile,
    },
  });
  clientFile = writeConfig(work, 'client.conf', {
    ...(await a.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    'plugin.choria.middleware_hosts': `127.0.0.1:${a.port}`,
    'plugin.muster.placement.brokers': `127.0.0.1:${port}`,
    'plugin.muster.placement.password': password,
    ...patience,
  });
  for (const name of names) {
    const folder = join(work, name);
    mkdirSync(folder);
    writeFileSync(join(folder, 'provisioning.jwt'), readFileSync(tokenFile), { mode: 0o600 });
    nodes.push(new NodeProcess(folder, name, { config: `identity = ${name}\nplugin.choria.server.provision = true\n` }).start());
  }
}, 240_000);

afterAll(async () => {
  for (const node of nodes) await node.kill();
  await provisioner?.stop();
  await b?.stop();
  await a?.stop();
  vi.unstubAllEnvs();
  remove();
});

test('nodes with a token enrol and come up in the overlay that they were given', async () => {
  await until('all are in the overlay a', async () => (await seenIn(a)).join() === names.join(), 60_000);
  expect(await seenIn(b)).toEqual([]);
});

test('renew gives those that fit a filter new certificates, one after the other, and waits for each', async () => {
  const before = names.map(certificateOf);
  const { code, out, err } = await muster(
    ...['provisioning', 'renew', '-I', 'n1.test', '-I', 'n2.test', '--batch', '1', '--sleep', '0', '--yes', '--json'],
    ...['--token-file', tokenFile],
  );
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(JSON.parse(out)).toEqual({ renewed: ['n1.test', 'n2.test'], failed: [], missing: [], away: [], notAsked: [] });
  const after = names.map(certificateOf);
  expect(after.map((text, index) => text === before[index])).toEqual([false, false, true]);
  await until('all are in the overlay a', async () => (await seenIn(a)).join() === names.join(), 60_000);
});

test('another token is refused by the nodes, and nobody goes', async () => {
  const other = join(work, 'other.jwt');
  const claims = { cht: 'other', chu: '127.0.0.1:1' };
  writeFileSync(other, await makeProvisioningToken({ claims, validitySeconds: 3_600 }, { algorithm: 'EdDSA', key: privateKey }));
  const { code, out } = await muster('provisioning', 'renew', '--batch', '2', '--yes', '--token-file', other);
  expect(code).toBe(2);
  expect(out).toMatch(
    /^0 nodes renewed\n {2}n\d\.test did not go: .*\n {2}n\d\.test did not go: .*\n {2}1 node not asked: all of the first batch refused\n$/,
  );
  await until('all are in the overlay a', async () => (await seenIn(a)).join() === names.join(), 60_000);
});

test('drain moves the nodes of an overlay, and undrain opens it again', async () => {
  overlays('none');
  expect(await muster('provisioning', 'undrain', 'c')).toMatchObject({
    code: 1,
    err: expect.stringContaining('no node was placed on an overlay c; there are a'),
  });
  // Stopped after the first, it leaves the mark, and goes on when it is started again.
  const always = ['--sleep', '0', '--yes', '--token-file', tokenFile, '--config', clientFile];
  const first = spawn(process.execPath, [main, 'provisioning', 'drain', 'a', '--batch', '1', ...always, '--sleep', '600']);
  let said = '';
  for (const stream of [first.stdout, first.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  await until('one has moved', async () => (await seenIn(b)).length === 1, 120_000);
  first.kill('SIGINT');
  const [stopped] = (await once(first, 'close')) as [number];
  expect(stopped, said).toBe(130);
  expect(said).toContain('2 nodes not asked: it was stopped; start it again to go on');
  const { code, out, err } = await runMuster(['provisioning', 'drain', 'a', '--batch', '2', ...always]);
  expect({ code, out }, err).toEqual({ code: 0, out: '2 nodes moved\n' });
  await until('all are in the overlay b', async () => (await seenIn(b)).join() === names.join(), 120_000);
  expect(await seenIn(a)).toEqual([]);
  expect(await muster('provisioning', 'drain', 'a', '--mark-only')).toMatchObject({
    code: 0,
    out: 'a takes no more nodes; 0 are on it\n',
  });
  expect(await muster('provisioning', 'undrain', 'a')).toMatchObject({ code: 0, out: 'a takes nodes again; 0 are on it\n' });
});

test('what is missing is said', async () => {
  const said = async (...args: string[]) => (await muster('provisioning', ...args)).err;
  expect(await said('renew', '--yes')).toContain('name the file of the token with --token-file');
  expect(await said('renew', '--yes', '--token-file', overlaysFile)).toContain(`${overlaysFile} is no provisioning token`);
  expect(await said('renew', '--token-file', tokenFile, '-F', 'no=body', '--yes')).toContain(
    'no node with the agent choria_provision fits',
  );
  expect(await muster('provisioning', 'renew', '--token-file', tokenFile, '-I', 'nobody.test', '--yes')).toMatchObject({
    code: 2,
    out: '0 nodes renewed\n  nobody.test did not go: it does not answer\n',
  });
  writeFileSync(clientFile, readFileSync(clientFile, 'utf8').replaceAll('plugin.muster.placement', 'plugin.other'));
  expect(await said('undrain', 'a')).toContain('set plugin.muster.placement.brokers');
});
