// Spans as OTLP's JSON has them.

import type { CallSpan } from '../../core/sdk/typescript/index.ts';
import type { Span } from '../wire/trace.ts';

const kinds = { internal: 1, server: 2, client: 3 } as const;
const statusCodes = { ok: 1, error: 2 } as const;

interface OtlpAttribute {
  readonly key: string;
  readonly value:
    | { readonly stringValue: string }
    | { readonly doubleValue: number }
    | { readonly intValue: string }
    | { readonly boolValue: boolean };
}

export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly OtlpAttribute[];
  readonly status: { readonly code: number; readonly message?: string };
}

type Attributes = Span['attributes'];

export function fromSpan({ trace, span, parent, name, role, start, end, ok, message, attributes }: Span): OtlpSpan {
  return {
    traceId: trace,
    spanId: span,
    ...(parent !== undefined && { parentSpanId: parent }),
    name,
    kind: kinds[role],
    startTimeUnixNano: nanoseconds(start),
    endTimeUnixNano: nanoseconds(end),
    attributes: attributesOf(attributes),
    status: { code: ok ? statusCodes.ok : statusCodes.error, ...(message !== undefined && { message }) },
  };
}

export function fromCall({ trace, span, parent, plugin, method, time, ms, outcome, message }: CallSpan): OtlpSpan {
  return {
    traceId: trace,
    spanId: span,
    parentSpanId: parent,
    name: `${plugin} ${method}`,
    kind: kinds.internal,
    startTimeUnixNano: nanoseconds(time),
    endTimeUnixNano: nanoseconds(time + ms),
    attributes: attributesOf({ 'muster.plugin': plugin, 'muster.method': method, 'muster.outcome': outcome }),
    status: { code: outcome === 'ok' ? statusCodes.ok : statusCodes.error, ...(message !== undefined && { message }) },
  };
}

/** The body of one export: all spans are of one resource, this host. */
export function exportBody(spans: readonly OtlpSpan[], resource: Attributes, version: string): string {
  return JSON.stringify({
    resourceSpans: [
      { resource: { attributes: attributesOf(resource) }, scopeSpans: [{ scope: { name: 'muster', version }, spans }] },
    ],
  });
}

function attributesOf(values: Attributes): OtlpAttribute[] {
  return Object.entries(values).map(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value } };
    if (typeof value === 'boolean') return { key, value: { boolValue: value } };
    return { key, value: Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value } };
  });
}

/** Text, since 64 bits are more than a number of JSON holds. */
function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1_000)) * 1_000n);
}
