// The SDK for plugin authors in TypeScript and JavaScript: `import { definePlugin } from 'muster/sdk'`.

export { PluginError } from '../../protocol/errors.ts';
export { printable } from '../../protocol/printable.ts';
export {
  type Action,
  type ActionCall,
  ActionError,
  type ActionRequest,
  type Actions,
  type AgentDefinition,
  type AgentInstance,
  defineAgent,
} from './agent.ts';
export type { Bus, BusMessage, ConnectionInfo, ConnectionSpec, Publication, SubscriptionSpec } from './bus.ts';
export type {
  AnnouncedPlugin,
  CallSpan,
  ChildHost,
  HostInfo,
  ListedMetric,
  ListedPlugin,
  MetricAbout,
  Metrics,
  ProcessSpec,
  ReadConfig,
  StopRequest,
  TerminalInfo,
} from './capabilities.ts';
export type { Bucket, BucketInfo, BucketSpec, KvChange, KvChanges, KvEntry } from './kv.ts';
export type { Fields, Level, Log } from './log.ts';
export type { ListedObject, ObjectFacts, ObjectStore, ObjectStoreSpec, StoredObject } from './objects.ts';
export {
  type Call,
  definePlugin,
  type Handler,
  type Handlers,
  type Host,
  type HostCallOptions,
  type Json,
  type Params,
  type PluginDefinition,
  type PluginInstance,
} from './plugin.ts';
export {
  defineSettings,
  type SettingsAnswer,
  type SettingsChooser,
  type SettingsEntry,
  type SettingsQuestion,
} from './settings.ts';
