/**
 * The words that agents and platform share: schemas, ids, errors, streams, trust.
 *
 * **Gotchas**: the HTTP contract is not here but in `@agion/domain/api`, which loads `effect/http-api`.
 */
export * from "./Agent.ts"
export * as ApiError from "./ApiError.ts"
export * from "./ApiKey.ts"
export * from "./Audit.ts"
export { type ContextFault, contextFault } from "./CheckContext.ts"
export * from "./Denial.ts"
export * from "./Epoch.ts"
export * from "./Feedback.ts"
export * from "./Id.ts"
export * from "./Ingest.ts"
export * from "./Mission.ts"
export * from "./Organization.ts"
export * from "./Permission.ts"
export * from "./Policy.ts"
export * from "./Registry.ts"
export * from "./Resource.ts"
export * from "./Shared.ts"
export * from "./Signed.ts"
export * as Streams from "./Streams.ts"
export { isTimeZone, timeZoneFault } from "./TimeZone.ts"
export * as Trust from "./Trust.ts"
export {
  EvaluateTrust,
  Tier,
  TrustEventType,
  TrustHistoryEvent,
  type TrustModel,
  TrustModelSettings,
  TrustScore,
  tierOf
} from "./Trust.ts"
export * from "./Usage.ts"
export * as Wire from "./Wire.ts"
