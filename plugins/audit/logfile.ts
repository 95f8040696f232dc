// The auditor `logfile`: a line for each record, of nodes and of signers, each in a file of its own.

import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { GroupLog } from './group-log.ts';
import { NodeLog } from './node-log.ts';
import { type AuditRecord, choriaLine, isSignature, type NodeRecord, type SignatureAudit } from './record.ts';
import {
  AuditError,
  type AuditorConfig,
  bytesOf,
  fileProblems,
  numberOf,
  problemsOf,
  sectionOf,
  shiftRotated,
  textOf,
} from './section.ts';

const name = 'logfile_auditor';
const usualKeep = 10;

export default definePlugin({
  kind: 'auditor',
  version: '1.0.0',
  create: (host) => {
    const ofNode = new NodeLog(host);
    let ofSigner: GroupLog<SignatureAudit> | undefined;
    return {
      methods: {
        'auditor/check': () => ({ problems: problemsOf(() => fileProblems(name, readSpec(host).file)) }),
        'auditor/record': async ({ records }: { records: readonly AuditRecord[] }) => {
          const signatures = records.filter(isSignature);
          if (signatures.length === 0) return ofNode.append(records as readonly NodeRecord[]);
          ofSigner ??= new GroupLog(readSpec(host));
          await ofSigner.append(signatures);
          const others = records.filter((record): record is NodeRecord => !isSignature(record));
          const { written } = others.length > 0 ? await ofNode.append(others) : { written: 0 };
          return { written: written + signatures.length };
        },
      },
      shutdown: async () => {
        await ofNode.drained();
        await ofSigner?.close();
      },
    };
  },
});

/** @throws AuditError */
function readSpec(host: Host) {
  const section = sectionOf(host.config as AuditorConfig, name);
  const format = section.format ?? 'record';
  if (format !== 'record' && format !== 'choria') throw new AuditError(`${name}.format must be record or choria`);
  const keep = numberOf(section, name, 'keep', usualKeep);
  const line = format === 'choria' ? choriaLine : (record: SignatureAudit) => `${JSON.stringify(record)}\n`;
  return {
    file: textOf(section, name, 'logfile'),
    maxBytes: bytesOf(section, name, 'max_size', 0),
    render: (records: readonly SignatureAudit[]) => records.map(line).join(''),
    rotatedName: (file: string) => shiftRotated(file, keep),
  };
}
