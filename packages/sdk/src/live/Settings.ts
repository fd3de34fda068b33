/** The work of `Settings`: options checked, and filled in. */

import { ActorId, OrganizationId, Streams } from "@agion/domain"
import { Effect, Redacted } from "effect"
import { settingsOptions } from "../internal/KnownOptions.ts"
import type { Rule } from "../internal/OptionRules.ts"

import { SettingsInvalid, type SettingsOptions, type SettingsShape } from "../Settings.ts"
import { defaultDirectory, platformDirectory } from "../WriteAheadFolder.ts"

const invalid = (setting: string, problem: string) => Effect.fail(new SettingsInvalid({ setting, problem }))

/** Options that a program without types, or an environment, may have got wrong; the first that is says so. */
export const checkedBy = <O>(rule: Rule, options: O): Effect.Effect<O, SettingsInvalid> => {
  const fault = rule(options, "")
  return fault === undefined ? Effect.succeed(options) : Effect.fail(new SettingsInvalid(fault))
}

/** A misspelt `production` is no development. */
const isProduction = (environment: string | undefined): boolean =>
  ["production", "prod"].includes((environment ?? "").trim().toLowerCase())

/** Checks options and fills in what was left out. */
export const make = (given: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> =>
  Effect.flatMap(checkedBy(settingsOptions, given), shapeOf)

/** The options in full; what weakens governance is refused in production. */
const shapeOf = (options: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> => {
  const production = isProduction(options.environment)
  if (production && options.governance === false)
    return invalid("governance", "cannot be switched off in production; remove `ENABLE_GOVERNANCE=false`")
  if (production && options.signingKey == null)
    return invalid("signingKey", "is required in production; take it from `GET /api/v1/signing-keys`")
  const { apiKey, directory } = options
  const organizationId = OrganizationId.make(options.organizationId ?? "default")
  const gatewayUrl = new URL(options.gatewayUrl).href.replace(/\/+$/, "").replace(/\/api\/v1$/, "")
  return Effect.succeed({
    agentId: ActorId.make(options.agentId),
    actorType: options.actorType ?? "agent",
    organizationId,
    gatewayUrl,
    apiKey: apiKey == null ? null : typeof apiKey === "string" ? Redacted.make(apiKey) : apiKey,
    production,
    enforcement: options.enforcement ?? "enforce",
    governance: options.governance ?? true,
    registration: options.registration ?? {},
    signingKey: options.signingKey ?? null,
    directory: directory === false ? null : (directory ?? null),
    eventDirectory:
      directory === false
        ? null
        : platformDirectory(directory ?? defaultDirectory(), gatewayUrl, organizationId),
    names: Streams.streamNames(options.streamPrefix ?? "")
  })
}
