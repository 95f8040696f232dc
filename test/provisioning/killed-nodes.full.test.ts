// Real nodes and a real provisioner with the built-in authority, while nodes are ended by kill -9 at random moments and machines are
// set up anew: in the end all of them serve, each with files that are whole.

import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { findNatsServer } from '../../plugins/broker/program.ts';
import { ProvisioningNetwork } from '../support/enrolling-network.ts';
import { freePort, until } from '../support/folders.ts';
import { root } from '../support/languages.ts';
import { asking, rsaKeys, sign } from '../support/provisioning.ts';
import { NodeProcess } from '../support/provisioning-network.ts';

const [nodeCount, rounds] = [6, 60];
/** Between two ends, at most. */
const pauseMs = 1_500;
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const serves = (node: NodeProcess, from: number) => /serves [^"]* in mcollective/.test(node.log.slice(from));

test('whenever they are ended, nodes are enrolled whole in the end', async () => {
  const network = await ProvisioningNetwork.start();
  open.push(() => network.stop());
  const fleetPort = await freePort();
  const settings = join(network.folder, 'node-settings');
  writeFileSync(settings, `plugin.choria.middleware_hosts = 127.0.0.1:${fleetPort}\n`);
  const provisioner = await network.provisioner({
    'plugin.provisioner.hook': 'built-in-ca',
    'plugin.muster.provisioning.node_settings': settings,
    'plugin.muster.provisioning.names': '^127\\.0\\.0\\.1$,^localhost$',
  });
  const keys = rsaKeys();
  const signed = await sign(
    provisioner,
    'built-in-ca',
    asking({ identity: 'broker.test', keys, names: ['localhost', '127.0.0.1'] }),
  );
  const files = {
    cert: signed.certificate,
    ca: signed.ca,
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(network.folder, `fleet.${name}`), text, { mode: 0o600 });
  const at = (name: string) => join(network.folder, `fleet.${name}`);
  writeFileSync(
    at('conf'),
    `listen: "127.0.0.1:${fleetPort}"\ntls { cert_file: "${at('cert')}", key_file: "${at('key')}", ca_file: "${at('ca')}", verify: true }\n`,
  );
  const broker = spawn(findNatsServer(process.env, root), ['-c', at('conf')], { stdio: 'ignore' });
  open.push(() => broker.kill('SIGKILL'));

  const token = await network.token({ chusr: 'node', chpwd: 'node' } as never);
  const nodes = Array.from({ length: nodeCount }, (_, index) => {
    const folder = join(network.folder, `node-${index}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'provisioning.jwt'), token, { mode: 0o600 });
    return { node: new NodeProcess(folder, `n${index}.example.net`, {}).start(), from: 0 };
  });
  const empty = ({ configFile, identity }: NodeProcess) =>
    writeFileSync(configFile, `identity = ${identity}\nplugin.muster.provisioning.restart_delay = 100\n`, { mode: 0o600 });
  for (const { node } of nodes) {
    await node.kill();
    empty(node);
    node.start();
  }
  open.push(() => Promise.all(nodes.map(({ node }) => node.kill())));

  let [anew, ended] = [0, 0];
  for (let round = 0; round < rounds; round += 1) {
    await sleep(Math.random() * pauseMs);
    // On a busy machine, where none would come so far in time, one is waited for now and then.
    const ready =
      round % 10 === 9 ? await until('one serves', () => nodes.find((one) => serves(one.node, one.from)), 120_000) : undefined;
    const one = ready ?? nodes[Math.floor(Math.random() * nodes.length)];
    if (!one) throw new Error('there are nodes');
    await one.node.kill();
    ended += 1;
    // A machine that serves is set up anew, with what its folder has of certificates.
    if (serves(one.node, one.from)) {
      anew += 1;
      empty(one.node);
    }
    one.from = one.node.log.length;
    one.node.start();
  }
  expect(ended).toBe(rounds);
  expect(anew).toBeGreaterThan(0);

  for (const { node, from } of nodes) {
    await until(`${node.identity} serves; it said ${node.log.slice(from)}`, () => serves(node, from), 120_000);
    const ssl = join(node.folder, 'ssl');
    const certificate = new X509Certificate(readFileSync(join(ssl, 'certificate.pem')));
    expect(certificate.subject).toContain(`CN=${node.identity}`);
    expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(join(ssl, 'private.pem'))))).toBe(true);
    expect(readFileSync(node.configFile, 'utf8')).toMatch(/^# request .*\n(.+=.*\n)+$/);
    for (const file of ['server.conf', 'ssl/private.pem', 'provisioning.jwt'])
      expect([file, (statSync(join(node.folder, file)).mode & 0o777).toString(8)]).toEqual([file, '600']);
    expect(readdirSync(ssl).sort()).toEqual(['ca.pem', 'certificate.pem', 'csr.pem', 'private.pem']);
    expect(readdirSync(node.folder).filter((name) => name.includes('.muster'))).toEqual([]);
    expect(existsSync(join(node.folder, 'server.conf.muster-new'))).toBe(false);
  }
});
