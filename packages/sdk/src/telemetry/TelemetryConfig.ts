/** What the environment says of telemetry: a value that cannot be says what it could have been. */
import { Config, Effect, LogLevel, Option, Redacted } from "effect"
import { SettingsInvalid } from "../Settings.ts"
import { collectorAddress, isCollector } from "./Collector.ts"

const text = (name: string) =>
  Effect.map(Config.option(Config.String(name)), (value) =>
    Option.getOrUndefined(Option.filter(value, (given) => given.trim() !== ""))?.trim()
  )

const invalid = (setting: string, given: string, wanted: string) =>
  new SettingsInvalid({ setting, problem: `must be ${wanted}, not \`${given.slice(0, 100)}\`` })

/** A variable without the blanks around it, parsed; undefined when it is not set. */
export const parsed = Effect.fnUntraced(function* <A>(
  name: string,
  wanted: string,
  parse: (given: string) => A | undefined
) {
  const given = yield* text(name)
  if (given === undefined) return undefined
  const value = parse(given)
  return value === undefined ? yield* invalid(name, given, wanted) : value
})

/** What words say of a flag. */
const truths = new Map([
  ...["true", "1", "yes", "on", "y"].map((word) => [word, true] as const),
  ...["false", "0", "no", "off", "n"].map((word) => [word, false] as const)
])

/** A flag in any of its words, and in capitals, too. */
export const truth = (given: string): boolean | undefined => truths.get(given.toLowerCase())

const share = (given: string): number | undefined => {
  const value = Number(given)
  return value >= 0 && value <= 1 ? value : undefined
}

const level = (given: string): LogLevel.LogLevel | undefined => {
  const word = given.toLowerCase() === "warning" ? "warn" : given.toLowerCase()
  return LogLevel.values.find((known) => known.toLowerCase() === word)
}

/** An address may hold a password: it is not shown. */
const endpoint = Effect.gen(function* () {
  const setting = "OTEL_EXPORTER_OTLP_ENDPOINT"
  const given = yield* text(setting)
  if (given === undefined || isCollector(given)) return given
  return yield* new SettingsInvalid({ setting, problem: `must be ${collectorAddress}` })
})

/** `name=value,…`, values percent-encoded. */
const headersOf = (given: string) => {
  const headers: Record<string, Redacted.Redacted<string>> = {}
  for (const part of given.split(",")) {
    const at = part.indexOf("=")
    if (at <= 0) return undefined
    try {
      headers[part.slice(0, at).trim()] = Redacted.make(decodeURIComponent(part.slice(at + 1).trim()))
    } catch {
      return undefined
    }
  }
  return headers
}

/** A list of headers may hold a key: it is not shown. */
const headers = Effect.gen(function* () {
  const given = yield* text("OTEL_EXPORTER_OTLP_HEADERS")
  if (given === undefined) return {}
  return (
    headersOf(given) ??
    (yield* new SettingsInvalid({
      setting: "OTEL_EXPORTER_OTLP_HEADERS",
      problem: "must be `name=value`, several of them with commas between, values percent-encoded"
    }))
  )
})

const levels = LogLevel.values.map((value) => `\`${value}\``).join(", ")

/** AGION_TRACE_SAMPLE, METRICS_ENABLED, LOG_LEVEL and the standard variables of OpenTelemetry. */
export const fromEnvironment = Effect.gen(function* () {
  const sample = yield* parsed("AGION_TRACE_SAMPLE", "a number from 0 to 1", share)
  const metrics = yield* parsed("METRICS_ENABLED", "`true` or `false`", truth)
  const logLevel = yield* parsed("LOG_LEVEL", `one of ${levels}`, level)
  const url = yield* endpoint
  const serviceName = yield* text("OTEL_SERVICE_NAME")
  const named = serviceName === undefined ? {} : { serviceName }
  return {
    telemetry: {
      ...(sample === undefined ? {} : { sample }),
      ...(metrics === undefined ? {} : { metrics })
    },
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(url === undefined ? {} : { otlp: { url, headers: yield* headers, ...named } })
  }
})
