// A real directory: Debian's slapd with some users and groups, with TLS.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { issue, openAuthority } from '../../plugins/overlay/ca.ts';
import { freePort, temporaryFolder, until } from './folders.ts';
import { provided } from './login-debian.ts';

export const base = 'dc=example,dc=net';
export const searcher = { dn: `cn=searcher,${base}`, password: 'canary-searcher' };

const entries = `dn: ${base}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,${base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,${base}
objectClass: organizationalUnit
ou: groups

dn: ${searcher.dn}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: searcher
userPassword: ${searcher.password}

dn: uid=anna,ou=people,${base}
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: A
userPassword: open:sesame

dn: uid=b\\2A(x),ou=people,${base}
objectClass: inetOrgPerson
uid: b*(x)
cn: Bob
sn: B
userPassword: open:sesame

dn: uid=guest,ou=people,${base}
objectClass: inetOrgPerson
uid: guest
cn: Guest
sn: G
userPassword: open:sesame

dn: cn=operators,ou=groups,${base}
objectClass: groupOfNames
cn: operators
member: uid=anna,ou=people,${base}
member: uid=b\\2A(x),ou=people,${base}

dn: cn=admins,ou=groups,${base}
objectClass: groupOfNames
cn: admins
member: uid=anna,ou=people,${base}
`;

export class LdapServer {
  readonly url: string;
  readonly tlsUrl: string;
  /** File with the certificate of who signed the server's. */
  readonly ca: string;
  readonly otherCa: string;
  readonly #process: ChildProcess;
  readonly #remove: () => void;

  private constructor(urls: readonly string[], ca: string, otherCa: string, child: ChildProcess, remove: () => void) {
    [this.url = '', this.tlsUrl = ''] = urls;
    [this.ca, this.otherCa, this.#process, this.#remove] = [ca, otherCa, child, remove];
  }

  /** @param names in the certificate of the server */
  static async start(names: readonly string[] = ['localhost', '127.0.0.1']): Promise<LdapServer> {
    const { programs, tree, env } = await provided('slapd');
    const [slapd = '', slapadd = ''] = programs;
    const { path: folder, remove } = temporaryFolder();
    mkdirSync(join(folder, 'data'));
    const [authority, other] = [
      await openAuthority(join(folder, 'ca'), 'ldap ca'),
      await openAuthority(join(folder, 'other'), 'other ca'),
    ];
    const { certificate, key } = await issue(authority, { commonName: 'ldap.test', names, serverAuth: true });
    const ca = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const root = tree ?? '';
    const schemas = ['core', 'cosine', 'inetorgperson'].map((name) => `include ${root}/etc/ldap/schema/${name}.schema`);
    const files = [ca('ca.pem', authority.certificate), ca('server.pem', certificate), ca('server.key', key)];
    writeFileSync(
      join(folder, 'slapd.conf'),
      `${schemas.join('\n')}
pidfile ${folder}/pid
modulepath ${root}/usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile ${files[0]}
TLSCertificateFile ${files[1]}
TLSCertificateKeyFile ${files[2]}
TLSVerifyClient never
database mdb
suffix "${base}"
rootdn "cn=root,${base}"
directory ${folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="${searcher.dn}" read by self read by anonymous none by * none
`,
    );
    writeFileSync(join(folder, 'entries.ldif'), entries);
    const environment = { ...process.env, ...env };
    // The programs are one, which looks at the name that it was called by.
    execFileSync(slapadd, ['-f', join(folder, 'slapd.conf'), '-l', join(folder, 'entries.ldif')], {
      env: environment,
      stdio: 'pipe',
    });
    const [port, tlsPort] = [await freePort(), await freePort()];
    const urls = [`ldap://127.0.0.1:${port}`, `ldaps://127.0.0.1:${tlsPort}`];
    const child = spawn(slapd, ['-d', '0', '-f', join(folder, 'slapd.conf'), '-h', urls.join(' ')], {
      env: environment,
      stdio: 'ignore',
    });
    await until('slapd listens', () => accepts(tlsPort));
    return new LdapServer(urls, files[0] ?? '', ca('other.pem', other.certificate), child, remove);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null && this.#process.kill('SIGTERM')) await ended;
    this.#remove();
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(port, '127.0.0.1');
    probe.once('error', () => resolve(false));
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
  });
}
