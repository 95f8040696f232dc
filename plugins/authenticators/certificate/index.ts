// Authenticator `certificate`: whoever has a certificate of an authority, and its key, in a file or on a token.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type CertificateSettings, validate } from '#schemas/muster/aaa/v1/certificate';
import { type CertificateCredential, validate as isCredential } from '#schemas/muster/aaa/v1/certificate_credential';
import { definePlugin, type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { certificateText, problemOfSignature } from '../../wire/aaa/certificate-proof.ts';
import { AaaError } from '../../wire/aaa/errors.ts';
import { KeptFile } from '../../wire/aaa/kept-file.ts';
import { listOf, readSection } from '../../wire/aaa/settings.ts';
import { type CertificateDetails, certificatesIn, readCertificate } from '../../wire/pki/certificate.ts';
import { TrustCheck } from '../../wire/pki/chain.ts';
import { type SignedList, signedLists } from '../../wire/pki/revocation-list.ts';
import { type Grants, granted, readGrants } from '../grants.ts';
import { Remembered } from '../remembered.ts';
import { type LoggedIn, loggedIn, type Outcome, refused } from '../user.ts';

const section = 'certificate_authenticator';
const prefix = 'cert=';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const digitalSignature = 0;
const longestName = 256;
const rememberedMs = 7 * 86_400_000;

interface LoginParams {
  readonly username: string;
  readonly credential: string;
  readonly publicKey: string;
  readonly timestamp?: number;
}

interface Opened {
  readonly ca: string;
  readonly lists: readonly KeptFile<readonly SignedList[]>[];
  readonly users: Grants;
  readonly units: Grants;
}

export default definePlugin({
  kind: 'authenticator',
  version: '1.0.0',
  create: (host) => {
    const certificates = new Certificates(host);
    return {
      methods: {
        'authenticator/check': () => ({ problems: certificates.problems() }),
        'authenticator/describe': () => ({ credential: 'certificate', details: { prefix: 'cert' } }),
        'authenticator/login': (params: LoginParams) => certificates.login(params),
        'authenticator/refresh': ({ callerid }: { callerid: string }) => certificates.refresh(callerid),
      },
    };
  },
});

class Certificates {
  readonly #host: Host;
  readonly #trust = new TrustCheck();
  /** The certificate of the last login, which is looked at again for each refresh. */
  readonly #known = new Remembered<string>();
  #opened: Opened | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  problems(): string[] {
    try {
      for (const list of this.#open().lists) list.read();
      return [];
    } catch (error) {
      const { message } = error as Error;
      return [error instanceof AaaError ? message : `${section}: ${message}`];
    }
  }

  login({ username, credential, publicKey, timestamp = 0 }: LoginParams): Outcome {
    const shown = shownIn(credential);
    if (!shown) return refused('the credential is no JSON with certificate and signature');
    const outcome = this.#userOf(shown.certificate);
    if (!outcome.ok) return outcome;
    const { callerid } = outcome.user;
    if (username !== '' && callerid !== `${prefix}${username}`) return refused('the certificate is of another user');
    const { publicKey: key } = readCertificate(certificatesIn(shown.certificate)[0] ?? '').x509;
    const problem = problemOfSignature(certificateText(timestamp, username, publicKey), shown.signature, key);
    if (problem !== undefined) return refused(problem);
    const now = Date.now();
    this.#known.keep(callerid, shown.certificate, now + rememberedMs, now);
    return outcome;
  }

  refresh(callerid: string): Outcome {
    const certificate = this.#known.get(callerid, Date.now());
    return certificate === undefined ? refused('the login is not remembered here; log in again') : this.#userOf(certificate);
  }

  #userOf(pem: string): Outcome {
    const { ca, lists, users, units } = this.#open();
    try {
      const [leaf = ''] = certificatesIn(pem);
      const details = readCertificate(leaf);
      const problem =
        problemOf(details) ??
        this.#trust.distrustOf(details.x509, pem, ca) ??
        revocationOf(
          details,
          lists.flatMap((list) => list.read()),
        );
      if (problem !== undefined) return refused(printable(problem));
      return granting(details, users, units);
    } catch (error) {
      return refused(`the certificate can not be judged: ${printable((error as Error).message)}`);
    }
  }

  /** @throws AaaError */
  #open(): Opened {
    this.#opened ??= open(this.#host.config['plugin.aaa.config']);
    return this.#opened;
  }
}

/** What a certificate of a user must have, whoever signed it. */
function problemOf({ x509, extendedUsages, usages, isAuthority }: CertificateDetails): string | undefined {
  const now = Date.now();
  if (Date.parse(x509.validFrom) > now) return 'the certificate is not yet valid';
  if (Date.parse(x509.validTo) < now) return 'the certificate has expired';
  if (isAuthority) return 'the certificate is that of an authority';
  if (!extendedUsages?.includes(clientAuth)) return 'the certificate is not for clients (extended key usage clientAuth)';
  if (usages && !usages.includes(digitalSignature)) return 'the certificate is not for signatures (key usage)';
  return undefined;
}

/** A list that is out of date may lack what was revoked since, so that nobody of its authority gets in. */
function revocationOf(details: CertificateDetails, lists: readonly SignedList[]): string | undefined {
  const own = lists.filter(({ signer }) => details.x509.checkIssued(signer));
  if (own.some(({ serials }) => serials.has(serialOf(details)))) return 'the certificate is revoked';
  const isOld = own.some(({ nextUpdate }) => nextUpdate !== undefined && nextUpdate < Date.now());
  return isOld ? 'the list of revoked certificates (crl) is out of date' : undefined;
}

function granting({ subject }: CertificateDetails, users: Grants, units: Grants): Outcome {
  const { CN: name = '', OU: unit = '' } = subject;
  if (name === '' || name.length > longestName || printable(name) !== name) return refused('the certificate has no common name');
  const own = granted({ ...users, everybody: undefined }, [name]);
  const grant = own ?? granted(units, unit === '' ? [] : [unit]);
  if (!grant) return refused(`nothing here is for ${name}, or for the organizational unit '${unit}'`);
  const user: LoggedIn = { ...grant, callerid: `${prefix}${name}` };
  return loggedIn(user);
}

function serialOf({ x509 }: CertificateDetails): string {
  return x509.serialNumber.toUpperCase().replace(/^(00)+(?=.)/, '');
}

function shownIn(credential: string): CertificateCredential | undefined {
  try {
    const value: unknown = JSON.parse(credential);
    return isCredential(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function open(file: unknown): Opened {
  if (typeof file !== 'string') throw new AaaError('AAA_SETTINGS', 'plugin.aaa.config is not set');
  const settings = checked(readSection(file, section) ?? {}, file);
  const where = `${file}: ${section}`;
  const ca = readFileSync(settings.ca, 'utf8');
  if (certificatesIn(ca).length === 0)
    throw new AaaError('AAA_SETTINGS', `${where}.ca: ${settings.ca} holds no certificate in PEM`);
  const authorities = certificatesIn(ca).map((pem) => new X509Certificate(pem));
  return {
    ca,
    lists: listOf(settings.crl).map((path) => new KeptFile(path, () => signedLists(readFileSync(path), authorities))),
    users: readGrants(settings.users, undefined, `${where}.users`),
    units: readGrants(settings.groups, settings.everybody, where),
  };
}

function checked(settings: unknown, file: string): CertificateSettings {
  if (validate(settings)) return settings;
  const [error] = validate.errors ?? [];
  throw new AaaError('AAA_SETTINGS', `${file}: ${section}${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
}
