// The least that an external agent of Choria can cost: three files, a process, its reply file read, all removed again.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function runOnce(executable, request) {
  const folder = mkdtempSync(join(tmpdir(), 'bare-'));
  const [requestFile, replyFile, factsFile] = ['request', 'reply', 'facts'].map((name) => join(folder, name));
  writeFileSync(requestFile, JSON.stringify(request));
  writeFileSync(replyFile, '');
  writeFileSync(factsFile, '{}');
  const env = {
    PATH: process.env.PATH,
    CHORIA_EXTERNAL_REQUEST: requestFile,
    CHORIA_EXTERNAL_REPLY: replyFile,
    CHORIA_EXTERNAL_FACTS: factsFile,
    CHORIA_EXTERNAL_PROTOCOL: 'io.choria.mcorpc.external.v1.rpc_request',
  };
  const child = spawn(executable, [requestFile, replyFile], { env, cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.resume();
  child.stderr.resume();
  await new Promise((resolve) => child.once('close', resolve));
  const reply = JSON.parse(readFileSync(replyFile, 'utf8'));
  rmSync(folder, { recursive: true });
  return reply;
}
