export * as LocalTime from "./LocalTime.ts"
export * as Outage from "./Outage.ts"
export * as PermissionCheck from "./PermissionCheck.ts"
