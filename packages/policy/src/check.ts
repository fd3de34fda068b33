/**
 * The check alone: what is decided from facts at hand, without expressions, sets of policies, and DLP.
 *
 * For programs that load those later, or never.
 */
export * as LocalTime from "./LocalTime.ts"
export * as Outage from "./Outage.ts"
export * as PermissionCheck from "./PermissionCheck.ts"
export * as PolicyFacts from "./PolicyFacts.ts"
