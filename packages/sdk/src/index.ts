/** Governance inside an agent: governed calls, near decisions, right answers during outages, no event lost. */
export { AgentClosed } from "./AgentClosed.ts"
export { AgentConfig, ConfigMissing, type ModelConfig, type ResourceAccess } from "./AgentConfig.ts"
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
  EventBuffer,
  type EventBufferOptions,
  type EventHealth,
  EventRecorder,
  type EventStatistics,
  type Flushed,
  type Published,
  type Storage,
  type TransportHealth
} from "./EventBuffer.ts"
export type { EventClass, EventInputs, EventKind, Publication, Report, StreamEvent } from "./events/Event.ts"
export { type Delivery, DeliveryFailed, EventTransport, type Sign } from "./events/EventTransport.ts"
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
  type GovernanceApi,
  GovernanceHttp,
  type GovernanceHttpOptions,
  PlatformRefused,
  PlatformUnavailable,
  type Translated
} from "./GovernanceHttp.ts"
export { type GovernedStreamOptions, governed, governedStream } from "./Governed.ts"
export { Health, type HealthReport } from "./Health.ts"
export * as HttpPool from "./HttpPool.ts"
export { InputInvalid } from "./Inputs.ts"
export {
  type CacheStatistics,
  type CheckInput,
  type MissReason,
  PermissionCache,
  type PermissionCacheOptions
} from "./PermissionCache.ts"
export { PlatformKeys, type PlatformKeysState, SignatureRefused } from "./PlatformKeys.ts"
export { type PolicyChange, PolicyEngine, type PolicyJudgement, type PolicyQuery } from "./PolicyEngine.ts"
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
  SharedCache,
  type SharedCacheOptions,
  SharedEntries,
  type SharedMiss,
  type SharedReader,
  type SharedStatistics
} from "./SharedCache.ts"
export { type OtlpOptions, Telemetry, type TelemetryOptions } from "./Telemetry.ts"
export { type TrustChange, TrustTracker, type TrustView } from "./TrustTracker.ts"
export * as TelemetryNames from "./telemetry/Names.ts"
export * as WriteAheadFiles from "./WriteAheadFiles.ts"
