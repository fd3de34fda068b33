/** Governance inside an agent: governed calls, near decisions, right answers during outages, no event lost. */
export { AgentClosed } from "./AgentClosed.ts"
export {
  AgentConfig,
  type ConfigError,
  ConfigMissing,
  type ModelConfig,
  type ResourceAccess
} from "./AgentConfig.ts"
export { AgentHost, type HostedAgentOptions, type HostOptions } from "./AgentHost.ts"
export * as AgionSdk from "./AgionSdk.ts"
export * as Circuit from "./Circuit.ts"
export * as CircuitBreaker from "./CircuitBreaker.ts"
export type { Decision, Mode } from "./Decision.ts"
export {
  ApprovalRequired,
  CallTimedOut,
  type DenialValue,
  type Denied,
  denialsAsValues,
  denialValue,
  GovernanceUnavailable,
  isDenied,
  PermissionDenied,
  PolicyViolation
} from "./Denials.ts"
export {
  type AwaitedKeys,
  EventBuffer,
  type EventBufferOptions,
  type EventBufferShape,
  type EventHealth,
  EventRecorder,
  type EventStatistics,
  type Flushed,
  type Published,
  type Storage,
  type TransportHealth
} from "./EventBuffer.ts"
export type { CallEnd } from "./events/CallEnd.ts"
export type {
  EventClass,
  EventInputs,
  EventKind,
  Publication,
  Report,
  StreamEvent,
  StreamKind
} from "./events/Event.ts"
export {
  type Delivery,
  DeliveryFailed,
  EventTransport,
  type HttpTransportOptions,
  type RedisTransportOptions,
  type Sign
} from "./events/EventTransport.ts"
export { type Reported, ReportTransport } from "./events/ReportTransport.ts"
export * as FailurePolicy from "./FailurePolicy.ts"
export {
  Governance,
  type GovernedCall,
  type GovernedOptions,
  type OpenCall,
  type TimeoutOf,
  type Usage,
  type Work
} from "./Governance.ts"
export {
  type CheckAnswer,
  type GovernanceApi,
  GovernanceHttp,
  type GovernanceHttpOptions,
  PlatformRefused,
  PlatformUnavailable,
  type ReserveAnswer,
  type Translated
} from "./GovernanceHttp.ts"
export { governed } from "./Governed.ts"
export { Health, type HealthReport } from "./Health.ts"
export * as HttpPool from "./HttpPool.ts"
export { InputInvalid } from "./InputInvalid.ts"
export {
  type CacheEntry,
  type CacheStatistics,
  type CheckInput,
  type JudgedCheck,
  type MissReason,
  PermissionCache,
  type PermissionCacheOptions,
  type SpentAmounts
} from "./PermissionCache.ts"
export { PlatformKeys, type PlatformKeysState, SignatureRefused } from "./PlatformKeys.ts"
export {
  type LocalVerdict,
  type PolicyChange,
  PolicyEngine,
  type PolicyEngineShape,
  type PolicyJudgement,
  type PolicyQuery
} from "./PolicyEngine.ts"
export { BundleRefused, PolicySync, type PolicySyncOptions, type PolicySyncState } from "./PolicySync.ts"
export * as Prices from "./Prices.ts"
export { type Hub, makeHub, type Push, Pushes, type PushLine } from "./Pushes.ts"
export { Registrar, type RegistrarState } from "./Registrar.ts"
export {
  type PinnedKey,
  type Registration,
  Settings,
  SettingsInvalid,
  type SettingsOptions,
  type SettingsShape
} from "./Settings.ts"
export {
  type EntryKey,
  type SharedAnswer,
  SharedCache,
  type SharedCacheOptions,
  SharedEntries,
  type SharedMiss,
  type SharedReader,
  type SharedScore,
  type SharedStatistics
} from "./SharedCache.ts"
export { type OtlpOptions, type Sampling, type Tally, Telemetry, type TelemetryOptions } from "./Telemetry.ts"
export {
  type ActorTrust,
  type TrustChange,
  TrustTracker,
  type TrustTrackerShape,
  type TrustView
} from "./TrustTracker.ts"
export * as TelemetryNames from "./telemetry/Names.ts"
export * as WriteAheadFiles from "./WriteAheadFiles.ts"
