/** `GovernanceHttp` over an `HttpClient`: loaded with the contract and its client when the layer is built. */
import { CheckRequest, epochHeader, ReserveRequest, Wire } from "@agion/domain"
import { Cause, Clock, Duration, Effect, Exit, Random, Redacted, Schema } from "effect"
import { type Headers, HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import {
  asRefusal,
  type CheckAnswer,
  type GovernanceApi,
  GovernanceHttp,
  type GovernanceHttpOptions,
  PlatformRefused,
  PlatformUnavailable,
  type Translated
} from "../GovernanceHttp.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import { quiet } from "../telemetry/QuietClient.ts"
import { AnswerTooLarge } from "./AnswerLimit.ts"
import { makeBatcher } from "./CheckBatcher.ts"
import { contract, Line } from "./Contract.ts"
import { type Monotonic, monotonic } from "./Monotonic.ts"
import { isRecord } from "./OptionRules.ts"
import { retryAfterMs } from "./RetryAfter.ts"

const turnedAway = (
  status: number,
  wait: number | null,
  url: string
): PlatformRefused | PlatformUnavailable =>
  status === 429
    ? new PlatformRefused({ status, detail: "too many requests", retryAfterMs: wait })
    : new PlatformUnavailable({ kind: "status", detail: `status ${status}`, retryAfterMs: wait, url })

const awayStatuses = [502, 503, 504]

/** The client below the contract: address, key, and statuses that no route decodes. */
const transport = (client: HttpClient.HttpClient, settings: SettingsShape, url: string) =>
  client.pipe(
    HttpClient.mapRequest((request) => {
      const addressed = HttpClientRequest.prependUrl(request, settings.gatewayUrl)
      return settings.apiKey === null
        ? addressed
        : HttpClientRequest.bearerToken(addressed, Redacted.value(settings.apiKey))
    }),
    HttpClient.transformResponse((answer) =>
      Effect.flatMap(answer, (response) => {
        const { status } = response
        if (status !== 429 && !awayStatuses.includes(status)) return Effect.succeed(response)
        return Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.fail(turnedAway(status, retryAfterMs(response.headers["retry-after"], now) ?? null, url))
        )
      })
    )
  )

const causeText = (cause: unknown): string => {
  if (cause instanceof Error) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : undefined
    return code ?? (cause.message === "" ? cause.name : cause.message)
  }
  return "connection failed"
}

const openBreaker = (cause: unknown): { readonly retryAfterMs: number } | undefined =>
  typeof cause === "object" && cause !== null && "_tag" in cause && cause._tag === "CircuitOpen"
    ? {
        retryAfterMs:
          "retryAfterMs" in cause && typeof cause.retryAfterMs === "number" ? cause.retryAfterMs : 0
      }
    : undefined

/** What is said of a refusal that is not of the contract: a platform finds its own routes. */
const unreadable = (status: number, otherwise: string): string => {
  if (status === 404) return "what answers is no platform; look at the path of `gatewayUrl`"
  return status === 401 || status === 403
    ? "what answers does not take `apiKey`, and is no platform or something in front of it"
    : otherwise
}

/** Where it leads is not followed: the key would go along. */
const redirected = (status: number): string =>
  `it leads elsewhere with ${status}, which is not followed; set \`gatewayUrl\` to where the platform is`

/** An answer that is none: in JSON that is not of the contract, or too large to be read. */
const garbled = (url: string, detail = "an answer that is not of the contract"): PlatformUnavailable =>
  new PlatformUnavailable({
    kind: "garbled",
    detail,
    retryAfterMs: null,
    url
  })

/** A transport's error in our words: an answer that cannot be understood is none. */
const translate = (
  error: HttpClientError.HttpClientError | Schema.SchemaError,
  url: string
): PlatformUnavailable | PlatformRefused => {
  if (!HttpClientError.isHttpClientError(error)) return garbled(url)
  const { reason } = error
  if (reason._tag === "TransportError") {
    if (reason.cause instanceof AnswerTooLarge) return garbled(url, reason.cause.message)
    const open = openBreaker(reason.cause)
    return open === undefined
      ? new PlatformUnavailable({
          kind: "connection",
          detail: causeText(reason.cause),
          retryAfterMs: null,
          url
        })
      : new PlatformUnavailable({
          kind: "breaker",
          detail: "the circuit breaker is open",
          retryAfterMs: open.retryAfterMs,
          url
        })
  }
  if ("response" in reason && reason._tag === "StatusCodeError")
    return new PlatformRefused({
      status: reason.response.status,
      detail: reason.description ?? unreadable(reason.response.status, "an unexpected status"),
      retryAfterMs: null
    })
  if ("response" in reason && reason.response.status >= 400)
    return new PlatformRefused({
      status: reason.response.status,
      detail: unreadable(reason.response.status, "a refusal that could not be read"),
      retryAfterMs: null
    })
  const status = "response" in reason ? reason.response.status : 0
  return new PlatformUnavailable({
    kind: "garbled",
    detail: status >= 300 && status !== 304 ? redirected(status) : "an answer that could not be read",
    retryAfterMs: null,
    url
  })
}

/** A request that cannot be written down as the contract wants it. */
const unsent = ({ message }: Schema.SchemaError): PlatformRefused =>
  new PlatformRefused({
    status: 400,
    detail: `the request is not of the contract and was not sent: ${message.replace(/\n\s*/g, " ")}`,
    retryAfterMs: null
  })

/** A call in our words; `isSent` tells a request that is not of the contract from an answer that is not. */
const translated = <A, E>(
  call: Effect.Effect<A, E>,
  isSent: () => boolean,
  url: string
): Effect.Effect<A, Translated<E>> =>
  Effect.mapError(call, (error): Translated<E> => {
    if (Schema.isSchemaError(error) && !isSent()) return unsent(error)
    if (HttpClientError.isHttpClientError(error) || Schema.isSchemaError(error)) return translate(error, url)
    return error as Translated<E>
  })

const timedOut = (after: Duration.Duration, url: string) =>
  new PlatformUnavailable({
    kind: "timeout",
    detail: `no answer within ${Duration.format(after)}`,
    retryAfterMs: null,
    url
  })

/** What a check ends with that still waits when its agent is closed. */
const closed = (url: string): PlatformUnavailable =>
  new PlatformUnavailable({ kind: "connection", detail: "this agent is closed", retryAfterMs: null, url })

/** A pause where none is asked for, milliseconds: half of it to half as long again. */
const ownPause = 50

/** Milliseconds to wait before repeating a call that failed so; undefined: repeating does not help. */
const pauseAfter = (error: unknown, spread: number): number | undefined => {
  // Not before the time that was asked for, and never at once.
  const later = (asked: number) => Math.max(ownPause * (0.5 + spread), asked * (1 + spread / 2))
  if (error instanceof PlatformUnavailable) {
    if (error.kind === "breaker" || error.kind === "garbled") return undefined
    return error.retryAfterMs === null ? ownPause * (0.5 + spread) : later(error.retryAfterMs)
  }
  if (error instanceof PlatformRefused && error.status === 429) return later(error.retryAfterMs ?? 1000)
  return undefined
}

/** Repetitions in tenths: those that there are at the start, and the most that are saved up. */
const saved = 100

/** Repeats calls within a deadline, in the long run one in ten: more would keep a platform down that comes back. */
const makeRepeat = (options: {
  readonly times: number
  readonly deadlineMs: number
  readonly now: Monotonic
}) => {
  const { deadlineMs, now, times } = options
  let budget = saved
  return <A, E>(call: Effect.Effect<A, E>, mayRepeat: (error: E) => boolean): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      budget = Math.min(saved, budget + 1)
      const endsAt = now() + deadlineMs
      const from = (left: number): Effect.Effect<A, E> =>
        Effect.catch(call, (error) =>
          Effect.flatMap(Random.next, (spread) => {
            const pause = left === 0 || !mayRepeat(error) ? undefined : pauseAfter(error, spread)
            // What cannot be repeated in time is what it is, and no time-out.
            if (pause === undefined || now() + pause >= endsAt || budget < 10) return Effect.fail(error)
            budget -= 10
            return Effect.andThen(Effect.sleep(pause), from(left - 1))
          })
        )
      return from(times)
    })
}

export const epochOf = (headers: Headers.Headers): number | null => {
  const text = headers[epochHeader]
  const epoch = text === undefined ? Number.NaN : Number(text)
  return Number.isSafeInteger(epoch) ? epoch : null
}

/** The facts decide of which epoch an answer is: a header may name one that came after them. */
export const epochOfAnswer = ({ epoch, result }: CheckAnswer): number | null => result.metadata.epoch ?? epoch

type Answered = Exit.Exit<CheckAnswer, PlatformRefused | PlatformUnavailable>

/** What one check of a batch may be refused for: the others are asked without it. */
const ofOne = [400, 413, 422]

const isOfOne = (error: PlatformRefused | PlatformUnavailable): boolean =>
  error instanceof PlatformRefused && ofOne.includes(error.status)

/** What a request holds that cannot be sent, by name, and what it must be. */
const unsentOf = (error: unknown, context: unknown): string => {
  const [said = "", at = ""] = error instanceof Error ? error.message.split("\n  at ") : [String(error)]
  const path = [...at.matchAll(/\["?([^"\]]+)"?\]/g)].map(([, key = ""]) => key)
  const inner =
    path.length === 1 && path[0] === "context" && isRecord(context) ? unsentIn(context) : undefined
  const field = (inner === undefined ? path : [...path, inner]).join(".")
  const expected = path[0] === "resourceId" ? "a resource's id, a UUID" : said.replace(/^Expected /, "")
  return `\`${field === "" ? "context" : field}\` of the call cannot be sent: it must be ${expected}; mend it, or leave it out`
}

const isJsonObject = Schema.is(Wire.JsonObject)

const unsentIn = (context: { readonly [name: string]: unknown }): string | undefined =>
  Object.keys(context).find((key) => !isJsonObject({ [key]: context[key] }))

/** A call that cannot be written down is nobody's outage, and takes no other call with it. */
const unsendable = <T extends { readonly context?: unknown }, E>(
  schema: Schema.Codec<T, E>,
  request: T
): PlatformRefused | undefined => {
  const exit = Schema.encodeExit(schema)(request)
  if (Exit.isSuccess(exit)) return undefined
  const detail = unsentOf(Cause.squash(exit.cause), request.context)
  return new PlatformRefused({ status: 400, detail, retryAfterMs: null })
}

export const make = Effect.fnUntraced(function* (options: GovernanceHttpOptions) {
  const settings = yield* Settings
  const client = quiet(yield* HttpClient.HttpClient)
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "2 seconds")
  const deadline = Duration.fromInputUnsafe(options.deadline ?? "5 seconds")
  const repeat = makeRepeat({
    times: options.retries ?? 2,
    deadlineMs: Duration.toMillis(deadline),
    now: monotonic(yield* Effect.clockWith(Effect.succeed))
  })
  // An address may hold a password; its origin does not.
  const { origin } = new URL(settings.gatewayUrl)
  const line = transport(client, settings, origin)
  const api = yield* contract

  /** One try; `sent` hears of the request. */
  const attempt = <A, E>(f: (api: GovernanceApi) => Effect.Effect<A, E>, sent: (method: string) => void) =>
    Effect.timeoutOrElse(
      Effect.suspend(() => {
        let isSent = false
        const noted = HttpClient.tapRequest(line, ({ method }) =>
          Effect.sync(() => {
            isSent = true
            sent(method)
          })
        )
        return Effect.provideService(
          translated(f(api), () => isSent, origin),
          Line,
          noted
        )
      }),
      {
        duration: timeout,
        orElse: () => Effect.fail(timedOut(timeout, origin))
      }
    )
  const inTime = <A, E>(call: Effect.Effect<A, E>) =>
    Effect.timeoutOrElse(call, {
      duration: deadline,
      orElse: () => Effect.fail(timedOut(deadline, origin))
    })
  const act: GovernanceHttp["Service"]["act"] = (f) => attempt(f, () => {})
  const ask: GovernanceHttp["Service"]["ask"] = (f) => inTime(repeat(act(f), () => true))
  const call: GovernanceHttp["Service"]["call"] = (f) =>
    Effect.suspend(() => {
      let isRead = true
      const tried = attempt(f, (method) => {
        if (method !== "GET") isRead = false
      })
      // What was turned away was not done.
      return inTime(
        repeat(tried, (error) => isRead || (error instanceof PlatformRefused && error.status === 429))
      )
    })

  const single = (request: CheckRequest) =>
    ask((api) => api.permissions.check({ payload: request, responseMode: "decoded-and-response" })).pipe(
      Effect.map(([result, response]): CheckAnswer => ({ result, epoch: epochOf(response.headers) })),
      Effect.mapError(asRefusal)
    )
  const many = (checks: ReadonlyArray<CheckRequest>) =>
    ask((api) =>
      api.permissions.checkBatch({
        payload: { checks, fields: "entry" },
        responseMode: "decoded-and-response"
      })
    ).pipe(
      Effect.mapError(asRefusal),
      Effect.flatMap(([{ results }, response]) => {
        if (results.length !== checks.length) return Effect.fail(garbled(origin))
        const epoch = epochOf(response.headers)
        return Effect.succeed(results.map((result): Answered => Exit.succeed({ result, epoch })))
      })
    )
  const oneByOne = (checks: ReadonlyArray<CheckRequest>): Effect.Effect<ReadonlyArray<Answered>> =>
    Effect.forEach(checks, (one) => Effect.exit(single(one)), { concurrency: 8 })
  const check = yield* makeBatcher(
    (checks) =>
      checks.length === 1 ? oneByOne(checks) : Effect.catchIf(many(checks), isOfOne, () => oneByOne(checks)),
    closed(origin)
  )

  const listeners = new Set<(epoch: number) => void>()
  /** Tells of the epoch of an answer, where it is that of our organization. */
  const telling = <A extends CheckAnswer, E>(
    { organizationId }: Pick<CheckRequest, "organizationId">,
    asking: Effect.Effect<A, E>
  ): Effect.Effect<A, E> =>
    organizationId === settings.organizationId
      ? Effect.map(asking, (answer) => {
          const epoch = epochOfAnswer(answer)
          if (epoch !== null) for (const listener of listeners) listener(epoch)
          return answer
        })
      : asking

  return GovernanceHttp.of({
    ask,
    act,
    call,
    onEpoch: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          listeners.add(listener)
        }),
        () => Effect.sync(() => listeners.delete(listener))
      ),
    check: (request) => {
      const asked: CheckRequest = { ...request, fields: "entry" }
      const refused = unsendable(CheckRequest, asked)
      return refused === undefined ? telling(asked, check(asked)) : Effect.fail(refused)
    },
    reserve: (request) => {
      const refused = unsendable(ReserveRequest, request)
      if (refused !== undefined) return Effect.fail(refused)
      const asking = ask((api) =>
        api.permissions.reserve({ payload: request, responseMode: "decoded-and-response" })
      )
      return telling(
        request,
        asking.pipe(
          Effect.map(([result, response]) => ({ result, epoch: epochOf(response.headers) })),
          Effect.mapError(asRefusal)
        )
      )
    }
  })
})
