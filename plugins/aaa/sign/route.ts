// POST /choria/v1/sign: the request in base64, and every refusal alike with status 200.

import type { Answer, Route } from '../route.ts';
import { isOurs } from './refusal.ts';
import type { SignCall, Signed } from './signer.ts';

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** @param sign undefined where nothing is signed here */
export function signRoute(sign: ((call: SignCall) => Promise<Signed>) | undefined): Route {
  return {
    method: 'POST',
    path: '/choria/v1/sign',
    handle: async ({ body }) => {
      const call = readCall(body);
      if (!call) return undefined;
      return sign ? answerOf(await sign(call)) : { status: 501, body: 'No signer configured' };
    },
  };
}

function answerOf(signed: Signed): Answer {
  if ('secure' in signed) return { status: 200, body: { secure_request: Buffer.from(signed.secure).toString('base64') } };
  const { refusal, reason } = signed;
  // Clients of Choria want status 200; those of Muster go on to another instance where the fault is this one's.
  const fault = isOurs(refusal.code) ? { fault: refusal.code } : {};
  return { status: 200, body: { error: 'Request denied', ...(reason !== undefined && { reason }), ...fault } };
}

/** Keys count in whatever case, as Choria's service takes them. */
function readCall(body: unknown): SignCall | undefined {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const values = new Map(Object.entries(body).map(([key, value]) => [key.toLowerCase(), value ?? '']));
  const [token = '', request = '', signature = ''] = ['token', 'request', 'signature'].map((key) => values.get(key));
  if (typeof token !== 'string' || typeof request !== 'string' || typeof signature !== 'string') return undefined;
  if (request.length % 4 !== 0 || !base64.test(request)) return undefined;
  return { token, request: Buffer.from(request, 'base64').toString('utf8'), signature };
}
