// The RPC client as a library, for plugins and programs: `import { FleetClient } from 'muster/client'`.

export { buildFilter, type Filter, FilterError, type FilterFlags } from '../wire/filter.ts';
export { ActionCall, type ActionOptions, type ActionReply, type ActionResult, AgentClient } from './agent-client.ts';
export { type Aggregated, Aggregator, aggregate } from './aggregate.ts';
export type { CanaryOptions, CanaryVerdict } from './canary.ts';
export { clientNeeds, FleetClient, type PingOptions, type PingResult, type Who } from './client.ts';
export { CollectError } from './collector.ts';
export { findDdl } from './ddls.ts';
export { type Discovered, type DiscoverOptions, discover, type KnownNode } from './discovery.ts';
export { ClientError } from './errors.ts';
export { type NodeReply, RequestError, type RequestStatistics, type RpcOptions, type RpcResult } from './options.ts';
export { ReplyCall, streamRpc } from './reply-call.ts';
export { callRpc } from './request.ts';
