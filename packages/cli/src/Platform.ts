/** The platform that commands talk to: where it is, who asks, and its typed client. */
import { Api } from "@agion/domain/api"
import { Config, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Flag } from "effect/cli"
import { FetchHttpClient, HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import { HttpApiClient } from "effect/http-api"

/** A command could not do what it was asked for. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  message: Schema.String
}) {}

/** Flags of every command that talks to a platform. */
export const flags = {
  url: Flag.String("url").pipe(
    Flag.withDescription("Address of the platform"),
    Flag.withFallbackConfig(Config.String("AGION_GATEWAY_URL")),
    Flag.withDefault("http://127.0.0.1:8080")
  ),
  apiKey: Flag.Redacted("api-key").pipe(
    Flag.withDescription("Key of the API; none is needed while authentication is off"),
    Flag.withFallbackConfig(Config.Redacted("AGION_API_KEY")),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

export interface PlatformOptions {
  readonly url: string
  readonly apiKey: Option.Option<Redacted.Redacted<string>>
}

const makeClient = (options: PlatformOptions) =>
  HttpApiClient.make(Api, {
    baseUrl: options.url,
    transformClient: (client) =>
      Option.match(options.apiKey, {
        onNone: () => client,
        onSome: (key) => HttpClient.mapRequest(client, HttpClientRequest.bearerToken(Redacted.value(key)))
      })
  })

/** The typed client of a platform. */
export interface PlatformClient extends HttpApiClient.ForApi<typeof Api> {}

/** The platform that a command talks to. */
export class Platform extends Context.Service<Platform, PlatformClient>()("@agion/cli/Platform") {
  static readonly layer = (options: PlatformOptions): Layer.Layer<Platform> =>
    Layer.effect(Platform, makeClient(options)).pipe(Layer.provide(FetchHttpClient.layer))
}

/** Any failure of a request as a sentence that says what to do. */
export const explain =
  (url: string) =>
  (error: unknown): CommandFailed =>
    new CommandFailed({ message: sentence(url, error) })

const sentence = (url: string, error: unknown): string => {
  if (HttpClientError.isHttpClientError(error)) {
    return error.response === undefined
      ? `no platform answers at \`${url}\`; start one with \`agion dev\` or name yours with --url`
      : `\`${url}\` answered ${error.response.status} in a form that is not this platform's; is it an Agion server?`
  }
  if (Schema.isSchemaError(error))
    return `\`${url}\` answered in a form that is not this platform's: ${error.message}`
  if (error instanceof Error) return error.message
  return String(error)
}

/** True for an http or https address. */
export const isHttp = (url: string): boolean => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)

/** Runs a command against the platform that the flags name. */
export const withPlatform = <A, E>(
  options: PlatformOptions,
  run: Effect.Effect<A, E, Platform>
): Effect.Effect<A, CommandFailed> =>
  isHttp(options.url)
    ? run.pipe(Effect.provide(Platform.layer(options)), Effect.mapError(explain(options.url)))
    : Effect.fail(
        new CommandFailed({
          message:
            `\`${options.url}\` is no http or https address; name the platform's with --url or ` +
            "AGION_GATEWAY_URL, such as `http://127.0.0.1:8080`"
        })
      )
