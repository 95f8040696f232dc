// Records of a signer, io.choria.signer.v1.signature_audit, and those of nodes.

import type { SignatureAudit } from '#schemas/choria/signer/v1/signature_audit';

export type { SignatureAudit };

/** What a node authorized. */
export interface NodeRecord {
  readonly request_id: string;
  /** Unix seconds. */
  readonly request_time: number;
  readonly caller: string;
  readonly sender: string;
  readonly agent: string;
  readonly action: string;
  readonly data: unknown;
}

export type AuditRecord = NodeRecord | SignatureAudit;

export function isSignature(record: AuditRecord): record is SignatureAudit {
  return 'protocol' in record;
}

/** @throws Error for records of nodes, which an auditor of signers does not keep */
export function onlySignatures(records: readonly AuditRecord[]): readonly SignatureAudit[] {
  return records.map((record) => {
    if (isSignature(record)) return record;
    throw new Error('this auditor keeps the decisions of a signer; nodes have the auditor logfile');
  });
}

/** As Choria's service writes it to its log file. */
export function choriaLine({ site, callerid, action, request, time }: SignatureAudit): string {
  const told = new Date(time * 1_000).toISOString().replace(/\.\d+Z$/, 'Z');
  const line = { auditor: 'logfile', site, caller: callerid, action, level: 'info', msg: JSON.stringify(request), time: told };
  return `${JSON.stringify(line)}\n`;
}
