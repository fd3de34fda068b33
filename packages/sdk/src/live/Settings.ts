/** The work of `Settings`: options checked, and filled in. */

import { ActorId, OrganizationId, Streams } from "@agion/domain"
import { Effect, Redacted } from "effect"
import { settingsOptions } from "../internal/KnownOptions.ts"
import { nearest, type Rule } from "../internal/OptionRules.ts"

import { SettingsInvalid, type SettingsOptions, type SettingsShape } from "../Settings.ts"
import { defaultDirectory, platformDirectory } from "../WriteAheadFolder.ts"

const invalid = (setting: string, problem: string) => Effect.fail(new SettingsInvalid({ setting, problem }))

/** Options that a program without types, or an environment, may have got wrong; the first that is says so. */
export const checkedBy = <O>(rule: Rule, options: O): Effect.Effect<O, SettingsInvalid> => {
  const fault = rule(options, "")
  return fault === undefined ? Effect.succeed(options) : Effect.fail(new SettingsInvalid(fault))
}

const productions = ["production", "prod"]

const nameOf = (environment: string | undefined): string => (environment ?? "").trim().toLowerCase()

/** A misspelt `production` is no development: what is refused there would go on unseen. */
const isMisspelt = (name: string): boolean =>
  !productions.includes(name) && nearest(name, ["production"], 2) !== undefined

/** Checks options and fills in what was left out. */
export const make = (given: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> =>
  Effect.flatMap(checkedBy(settingsOptions, given), shapeOf)

/** The options in full; what weakens governance is refused in production. */
const shapeOf = (options: SettingsOptions): Effect.Effect<SettingsShape, SettingsInvalid> => {
  const environment = nameOf(options.environment)
  const production = productions.includes(environment)
  if (isMisspelt(environment))
    return invalid("environment", `\`${environment}\` is near to \`production\`; say that, or another word`)
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
