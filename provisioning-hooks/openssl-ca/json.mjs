// The JSON of openssl-ca.sh. `read FOLDER` checks what comes in on stdin and writes a file for each value; `answer FOLDER`
// prints the answer; the others are small services for the index that openssl keeps.

import { spawnSync } from 'node:child_process';
import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const defaultDeny = ['\\.privileged.mcollective$', '\\.privileged.choria$', '\\.mcollective$', '\\.choria$'];
const hostName = /^(?=.{1,64}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;
const leastRsaBits = 2048;
const config = JSON.parse(process.env.MUSTER_CONFIG ?? '{}');
const [what, ...args] = process.argv.slice(2);

const commands = { read, answer, whole, withdraw, revoked };
try {
  commands[what](...args);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

function read(folder) {
  const asked = JSON.parse(readFileSync(0, 'utf8'));
  const state = process.env.MUSTER_STATE;
  const ca = config['plugin.muster.openssl_ca.folder'] ?? process.env.OPENSSL_CA ?? (state && join(state, 'ca'));
  if (!ca) throw new Error('set plugin.muster.openssl_ca.folder, or OPENSSL_CA, to the folder of the authority');
  if (/[\s$"'\\#]/.test(ca)) throw new Error(`${ca}: openssl reads no path with such characters; choose another folder`);
  const days = Number(config['plugin.muster.openssl_ca.days'] ?? 365);
  const until = stamp(new Date(Date.now() + days * 86_400_000));
  const values = { folder: ca, days: String(days), until, random: randomSerial(), ...checked(asked) };
  for (const [name, text] of Object.entries(values)) writeFileSync(join(folder, name), text, { mode: 0o600 });
}

function checked(asked) {
  if (process.env.MUSTER_METHOD === 'hook/revoke') {
    if (!/^[0-9A-F]{1,64}$/.test(asked.serial)) throw new Error('serial is no number in hex');
    return { serial: asked.serial, reason: String(asked.reason) };
  }
  const { identity, csr } = asked;
  if (typeof identity !== 'string' || !hostName.test(identity))
    throw new Error(`'${String(identity).slice(0, 80)}' is no name of a host`);
  const denied = config['plugin.muster.provisioning.deny'] ?? defaultDeny;
  if (denied.some((pattern) => new RegExp(pattern).test(identity.toLowerCase())))
    throw new Error(`${identity} is a name of callers`);
  if (typeof csr?.csr !== 'string') throw new Error(`there is no certificate request of ${identity}`);
  const about = openssl(csr.csr, ['-verify', '-subject', '-nameopt', 'sep_multiline,utf8,esc_ctrl,sname', '-pubkey']);
  const names = [...about.slice(about.indexOf('subject=')).matchAll(/^\s*CN\s*=\s*(.*)$/gm)].map(([, name]) => name);
  if (names.length !== 1 || names[0] !== identity)
    throw new Error(`the certificate request is for '${names.join(', ')}' and not for ${identity}`);
  const extensions = openssl(csr.csr, ['-text', '-reqopt', 'no_header,no_version,no_subject,no_pubkey,no_sigdump']);
  const asksFor = [...extensions.matchAll(/(?:DNS|IP Address|email|URI|othername|DirName|Registered ID):[^,\n]*/g)];
  const foreign = asksFor.map(([name]) => name.trim()).find((name) => name !== `DNS:${identity}`);
  if (foreign !== undefined) throw new Error(`${identity} asks for ${foreign}; only its own name is given`);
  const key = createPublicKey(about.slice(about.indexOf('-----BEGIN PUBLIC KEY-----')));
  const bits = key.asymmetricKeyDetails?.modulusLength ?? leastRsaBits;
  if (bits < leastRsaBits) throw new Error(`the key of ${identity} has ${bits} bits; RSA keys need ${leastRsaBits}`);
  const usage = key.asymmetricKeyType === 'rsa' ? 'digitalSignature,keyEncipherment' : 'digitalSignature';
  return { identity, 'csr.pem': csr.csr, ssldir: String(csr.ssldir || '/etc/choria/ssl'), usage };
}

function openssl(pem, flags) {
  const args = ['req', '-noout', ...flags];
  const { status, stdout, stderr } = spawnSync(process.env.OPENSSL || 'openssl', args, { input: pem, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the certificate request can not be read: ${String(stderr).trim().split('\n').at(-1)}`);
  // Up to version 3.2 a signature that does not fit is only told, with exit code 0.
  if (flags.includes('-verify') && !/verify OK/i.test(stdout + stderr))
    throw new Error('the certificate request was not signed with its own key');
  return stdout;
}

function answer(folder) {
  const text = (name) => readFileSync(join(folder, name), 'utf8');
  const [identity, ssldir] = [text('identity'), text('ssldir')];
  const configuration = {
    identity,
    'plugin.choria.server.provision': 'false',
    'plugin.security.provider': 'file',
    'plugin.security.file.certificate': `${ssldir}/certificate.pem`,
    'plugin.security.file.key': `${ssldir}/private.pem`,
    'plugin.security.file.ca': `${ssldir}/ca.pem`,
    ...settings(config['plugin.muster.provisioning.node_settings'], { identity, ssldir }),
  };
  process.stdout.write(JSON.stringify({ certificate: text('certificate.pem'), ca: text('ca.pem'), configuration }));
}

function settings(file, values) {
  if (!file) return {};
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim());
  return Object.fromEntries(
    lines
      .filter((line) => line !== '' && !line.startsWith('#') && line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1).trim()])
      .map(([key, value]) => [key, value.replace(/\{\{(\w+)\}\}/g, (whole, name) => values[name] ?? whole)]),
  );
}

function whole(file) {
  const text = readFileSync(file);
  truncateSync(file, text.lastIndexOf(10) + 1);
}

/** Marks a line as `openssl ca -revoke` would, which wants the certificate itself to do so. */
function withdraw(folder, file) {
  const [serial, reason] = ['serial', 'reason'].map((name) => readFileSync(join(folder, name), 'utf8'));
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => {
      const [state, end, , number, ...rest] = line.split('\t');
      return state === 'V' && number === serial ? ['R', end, `${stamp(new Date())},${reason}`, number, ...rest].join('\t') : line;
    });
  writeFileSync(`${file}.new`, lines.join('\n'), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function revoked(crl) {
  process.stdout.write(JSON.stringify({ revoked: true, crl }));
}

/** 20 bytes: positive, and without the leading zeros that DER forbids. */
function randomSerial() {
  const bytes = randomBytes(20);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes.toString('hex').toUpperCase();
}

function stamp(date) {
  return `${date
    .toISOString()
    .slice(2)
    .replace(/[-:T]|\.\d+/g, '')}`;
}
