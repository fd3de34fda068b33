/**
 * The whole judgement but policy files: what an agent decides with, which reads no YAML.
 *
 * `@agion/policy` is this and `PolicyFile`.
 */
export * as Cel from "./Cel.ts"
export * as Dlp from "./Dlp.ts"
export * as LocalTime from "./LocalTime.ts"
export * as Outage from "./Outage.ts"
export * as PermissionCheck from "./PermissionCheck.ts"
export * as PolicyFacts from "./PolicyFacts.ts"
export * as PolicySet from "./PolicySet.ts"
export { loadRe2 } from "./Re2.ts"
export * as StoredPolicy from "./StoredPolicy.ts"
