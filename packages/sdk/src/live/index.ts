/** What the layers of the SDK do, loaded together as the first of them is built. */
export * as Health from "./Health.ts"
export * as PermissionCache from "./PermissionCache.ts"
export * as PlatformKeys from "./PlatformKeys.ts"
export * as PolicyEngine from "./PolicyEngine.ts"
export * as PolicySync from "./PolicySync.ts"
export * as Registrar from "./Registrar.ts"
export * as SharedCache from "./SharedCache.ts"
export * as TrustTracker from "./TrustTracker.ts"
