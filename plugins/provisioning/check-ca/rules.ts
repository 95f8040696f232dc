// The rules that a certificate authority has to keep, with what is to be done where one does not hold.

export const rules = {
  answer: {
    title: 'answers with one JSON object that says what is wanted',
    remedy: 'print one JSON object on stdout and nothing else, exit with 0; what is for people goes to stderr',
  },
  time: { title: 'answers within 10 s', remedy: 'a provisioner gives up after 10 s; sign without waiting for people or batches' },
  pem: {
    title: 'certificate in PEM: that of the node first, then intermediates, no root',
    remedy: 'put the certificate of the node first and intermediates after it; the root belongs into `ca`',
  },
  key: {
    title: 'is for the key of the request, or for one that comes along',
    remedy: 'sign the key of the request; an authority that makes keys itself returns the key as `key`',
  },
  rsa4096: { title: 'signs RSA keys of 4096 bits, and leaves them so', remedy: 'allow RSA keys from 2048 to 4096 bits' },
  ecdsa: { title: 'signs ECDSA keys (P-256), or refuses them', remedy: 'sign the key as it is, or refuse it with a reason' },
  ed25519: { title: 'signs ed25519 keys, or refuses them', remedy: 'sign the key as it is, or refuse it with a reason' },
  cn: { title: 'common name is the name of the node', remedy: 'take the common name from the request' },
  san: {
    title: 'has a subject alternative name',
    remedy: 'add subjectAltName; requests of nodes have none, and TLS libraries look at nothing else',
  },
  fqdn: { title: 'name of the node is among them', remedy: 'add DNS:<identity> to subjectAltName' },
  names: {
    title: 'no name is among them that is not its own',
    remedy: 'take no names over from requests that you have not checked',
  },
  extra: { title: 'further names of its own may be asked for', remedy: 'keep the name of the node, whatever else is asked for' },
  usage: {
    title: 'key usage allows signatures',
    remedy: 'set keyUsage to digitalSignature, and keyEncipherment for RSA keys: nodes sign messages with this key',
  },
  purpose: {
    title: 'extended key usage has clientAuth and serverAuth',
    remedy: 'set extendedKeyUsage to clientAuth and serverAuth: brokers and nodes check for the first',
  },
  leaf: { title: 'is no certificate authority itself', remedy: 'set basicConstraints to CA:FALSE' },
  chain: {
    title: 'verifies up to a root in the returned `ca`',
    remedy: 'put the root and all intermediates into `ca`, each of them valid and allowed to sign',
  },
  handshake: {
    title: 'TLS works with it, as server and as client',
    remedy: 'see the rules above; the message is that of OpenSSL',
  },
  signature: { title: 'is signed with SHA-2 or better', remedy: 'use SHA-256 or later for signatures' },
  subject: {
    title: 'C, L, O and OU of the request are honoured',
    remedy: 'copy them from the request or set them by policy; `--accept subject` if nobody looks at them',
  },
  validity: {
    title: 'is valid now, for long enough, for no longer than it should',
    remedy: 'change the time that the profile of nodes gives',
  },
  serial: { title: 'serial numbers are long, and none comes twice', remedy: 'take 16 to 20 random bytes for each certificate' },
  reissue: {
    title: 'the same name gets another certificate for another key',
    remedy: 'allow several certificates for one subject (unique_subject = no): every attempt of a node has a new key',
  },
  denied: {
    title: 'refuses names that belong to callers',
    remedy: 'refuse names that end in .mcollective or .choria: whoever has such a certificate gives orders',
  },
  mismatch: { title: 'refuses a request for another name than the node has', remedy: 'compare the common name with `identity`' },
  foreign: {
    title: 'gives no name of another node',
    remedy: 'leave out, or refuse, alternative names that are not the own of the node',
  },
  proof: { title: 'refuses a request that was not signed with its key', remedy: 'verify the signature of the request' },
  weak: { title: 'refuses RSA keys of 1024 bits', remedy: 'refuse RSA keys below 2048 bits' },
  garbage: { title: 'refuses a request that is none', remedy: 'defer or exit with 1; never hang' },
  settings: {
    title: 'gives the node a configuration to go on with',
    remedy: 'fill `configuration` with strings, and set plugin.choria.server.provision to false in it',
  },
  revoke: { title: 'revokes when asked', remedy: 'implement `hook/revoke`, and publish a list of revoked certificates' },
  rate: {
    title: 'gives certificates fast enough',
    remedy: 'keep the hook running (runner: persistent), or have it wait less; see its limits',
  },
} as const satisfies Readonly<Record<string, { readonly title: string; readonly remedy: string }>>;

export type RuleId = keyof typeof rules;

/** `skipped`: it does not apply, could not be looked at, or was accepted. */
export type Verdict = 'passed' | 'failed' | 'skipped';

export interface Finding {
  readonly rule: RuleId;
  readonly verdict: Verdict;
  readonly detail: string;
}

export const passed = (rule: RuleId, detail: string): Finding => ({ rule, verdict: 'passed', detail });
export const failed = (rule: RuleId, detail: string): Finding => ({ rule, verdict: 'failed', detail });
export const skipped = (rule: RuleId, detail: string): Finding => ({ rule, verdict: 'skipped', detail });

/** Said of rules on a certificate that there is not. */
export const noCertificate = 'there was no certificate to look at';

export const ruleIds = Object.keys(rules) as RuleId[];
