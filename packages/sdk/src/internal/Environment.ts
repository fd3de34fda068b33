/** What the environment says of an agent: loaded for those who ask it. */
import { Config, Effect, Option } from "effect"
import type { AgionOptions } from "../AgionSdk.ts"
import { SettingsInvalid } from "../Settings.ts"
import * as TelemetryConfig from "../telemetry/TelemetryConfig.ts"

const optional = <A>(config: Config.Config<A>) => Config.option(config)

/** `keyId:publicKey`. */
const signingKeyOf = (text: string) => {
  const at = text.lastIndexOf(":")
  return at <= 0
    ? Effect.fail(
        new SettingsInvalid({
          setting: "AGION_SIGNING_KEY",
          problem: "must be `keyId:publicKey`, as in `GET /signing-keys`"
        })
      )
    : Effect.succeed({ keyId: text.slice(0, at), publicKey: text.slice(at + 1) })
}

/** What the environment says: `AGION_*` and `ENABLE_GOVERNANCE`. */
export const fromEnvironment = Effect.gen(function* () {
  const given = <K extends string, A>(name: K, value: Option.Option<A>) =>
    Option.isNone(value) ? {} : ({ [name]: value.value } as { readonly [Name in K]: A })
  const key = yield* optional(Config.String("AGION_SIGNING_KEY"))
  const governance = yield* optional(Config.Boolean("ENABLE_GOVERNANCE"))
  const observe = yield* optional(Config.Literals(["enforce", "observe"], "AGION_ENFORCEMENT"))
  const options: AgionOptions = {
    agentId: yield* Config.String("AGION_AGENT_ID"),
    gatewayUrl: yield* Config.String("AGION_GATEWAY_URL"),
    ...given("organizationId", yield* optional(Config.String("AGION_ORG_ID"))),
    ...given("redisUrl", yield* optional(Config.Redacted("AGION_REDIS_URL"))),
    ...given("apiKey", yield* optional(Config.Redacted("AGION_API_KEY"))),
    ...given("environment", yield* optional(Config.String("AGION_ENV"))),
    ...given("directory", yield* optional(Config.String("AGION_DIRECTORY"))),
    ...given("governance", governance),
    ...given("enforcement", observe),
    ...(yield* TelemetryConfig.fromEnvironment),
    ...(Option.isNone(key) ? {} : { signingKey: yield* signingKeyOf(key.value) })
  }
  return options
})
