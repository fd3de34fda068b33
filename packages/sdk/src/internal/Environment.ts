/** What the environment says of an agent, each variable by its name: loaded for those who ask it. */
import { Config, ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import type { AgionOptions } from "../AgionSdk.ts"
import { SettingsInvalid } from "../Settings.ts"
import * as TelemetryConfig from "../telemetry/TelemetryConfig.ts"
import { nearest } from "./OptionRules.ts"

/** Which variable says which option. */
const variables = new Map([
  ["agentId", "AGION_AGENT_ID"],
  ["gatewayUrl", "AGION_GATEWAY_URL"],
  ["organizationId", "AGION_ORG_ID"],
  ["redisUrl", "AGION_REDIS_URL"],
  ["apiKey", "AGION_API_KEY"],
  ["environment", "AGION_ENV"],
  ["directory", "AGION_DIRECTORY"],
  ["signingKey", "AGION_SIGNING_KEY"],
  ["enforcement", "AGION_ENFORCEMENT"],
  ["governance", "ENABLE_GOVERNANCE"],
  ["telemetry.sample", "AGION_TRACE_SAMPLE"],
  ["telemetry.metrics", "METRICS_ENABLED"],
  ["logLevel", "LOG_LEVEL"],
  ["otlp.url", "OTEL_EXPORTER_OTLP_ENDPOINT"]
])

/** A layer whose errors name the variable in place of the option. */
export const naming = <A>(layer: Layer.Layer<A, SettingsInvalid>): Layer.Layer<A, SettingsInvalid> =>
  Layer.catchTag(layer, "SettingsInvalid", ({ problem, setting }) =>
    Layer.effectContext(
      Effect.fail(new SettingsInvalid({ setting: variables.get(setting) ?? setting, problem }))
    )
  )

/** Names of variables that are set and begin so. */
const namesBelow = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.flatMap(
    Effect.orElseSucceed(provider.load(path), () => undefined),
    (node) => {
      const own = node?.value === undefined ? [] : [path.join("_")]
      if (node?._tag !== "Record") return Effect.succeed(own)
      const deeper = Effect.forEach(node.keys, (key) => namesBelow(provider, [...path, key]))
      return Effect.map(deeper, (found) => [...own, ...found.flat()])
    }
  )

const ours = [...variables.values()].filter((name) => name.startsWith("AGION_"))

/** Which of our variables another one is likely to mean; the platform has variables of its own, none of them near. */
const meantBy = (name: string): string | undefined => {
  if (ours.includes(name)) return undefined
  const [, given = ""] = name.split("AGION_")
  const known = ours.map((one) => one.slice("AGION_".length))
  const near = nearest(given, known, 2) ?? known.find((one) => given.startsWith(one) || one.startsWith(given))
  return near === undefined ? undefined : `AGION_${near}`
}

/** A misspelt variable would say nothing, and nobody would know. */
const refuseMisspelt = Effect.gen(function* () {
  for (const name of yield* namesBelow(yield* ConfigProvider.ConfigProvider, ["AGION"])) {
    const meant = meantBy(name)
    if (meant !== undefined)
      return yield* new SettingsInvalid({
        setting: name,
        problem: `of the environment is read by nobody; did you mean \`${meant}\`?`
      })
  }
})

const optional = <A>(config: Config.Config<A>) => Config.option(config)

/** What a variable says without the blanks and the line end that a file or a shell may leave around it. */
const trimmed = (name: string) => Config.map(Config.String(name), (text) => text.trim())

/** The same of one that may be left out; blanks alone say nothing. */
const text = (name: string) =>
  Effect.map(
    optional(trimmed(name)),
    Option.filter((said) => said !== "")
  )

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

/** `false`, as in code: nowhere. */
const folderOf = (text: string): string | false => (text.toLowerCase() === "false" ? false : text)

const enforcementOf = (text: string) => (["enforce", "observe"] as const).find((word) => word === text)

/** What the environment says: `AGION_*` and `ENABLE_GOVERNANCE`. */
export const fromEnvironment = Effect.gen(function* () {
  yield* refuseMisspelt
  const given = <K extends string, A>(name: K, value: Option.Option<A>) =>
    Option.isNone(value) ? {} : ({ [name]: value.value } as { readonly [Name in K]: A })
  const parsed = <A>(...about: Parameters<typeof TelemetryConfig.parsed<A>>) =>
    Effect.map(TelemetryConfig.parsed(...about), Option.fromUndefinedOr)
  const key = yield* text("AGION_SIGNING_KEY")
  const governance = yield* parsed("ENABLE_GOVERNANCE", "`true` or `false`", TelemetryConfig.truth)
  const observe = yield* parsed("AGION_ENFORCEMENT", "`enforce` or `observe`", enforcementOf)
  const options: AgionOptions = {
    agentId: yield* trimmed("AGION_AGENT_ID"),
    gatewayUrl: yield* trimmed("AGION_GATEWAY_URL"),
    ...given("organizationId", yield* text("AGION_ORG_ID")),
    ...given(
      "redisUrl",
      Option.map(yield* text("AGION_REDIS_URL"), (url) => Redacted.make(url))
    ),
    ...given(
      "apiKey",
      Option.map(yield* text("AGION_API_KEY"), (key) => Redacted.make(key))
    ),
    ...given("environment", yield* text("AGION_ENV")),
    ...given("directory", Option.map(yield* text("AGION_DIRECTORY"), folderOf)),
    ...given("governance", governance),
    ...given("enforcement", observe),
    ...(yield* TelemetryConfig.fromEnvironment),
    ...(Option.isNone(key) ? {} : { signingKey: yield* signingKeyOf(key.value) })
  }
  return options
})
