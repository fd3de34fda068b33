/** The test platform's side of the wire: requests in, answers of the contract out. */
import { createHash } from "node:crypto"
import {
  ActorId,
  Agent,
  Amounts,
  CheckBatch,
  CheckBatchResult,
  CheckRequest,
  CheckResult,
  epochHeader,
  IngestEvents,
  Policy,
  PolicyBundle,
  RegisterAgent,
  ReportUsage,
  ReserveRequest,
  Resource,
  SigningKeys,
  Trust,
  Wire
} from "@agion/domain"
import { Cause, Effect, Exit, Layer, Schema } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { isRecord } from "../internal/OptionRules.ts"
import type { Platform, Reserved } from "./TestPlatform.ts"

interface Answer {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: unknown
  readonly headers: { readonly [name: string]: string | undefined }
}

const ok = (body: unknown): Answer => ({ status: 200, body })
const none: Answer = { status: 204 }
const failure = (status: number, tag: string, error: string, message: string): Answer => ({
  status,
  body: { _tag: tag, error, message, details: "", timestamp: new Date(0).toISOString() }
})

/** A body or a path that is not of the contract. */
class NotValid {
  readonly said: string
  constructor(said: string) {
    this.said = said
  }
}

/** What a body says; throws `NotValid`. */
const read = <A, I>(schema: Schema.Codec<A, I>, body: unknown): A => {
  const exit = Schema.decodeUnknownExit(schema)(body)
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  throw new NotValid(`the body is not valid: ${Wire.wirePaths(error instanceof Error ? error.message : "")}`)
}

const missing = failure(404, "NotFound", "Not Found", "there is no such thing")

/** What a reservation takes. */
const takenBy = ({ amounts }: ReserveRequest) => ({
  requests: amounts.requests ?? 1,
  tokens: amounts.tokens ?? 0,
  costUsd: amounts.costUsd ?? 0
})

/** A key that comes again is answered as before while its reservation is open and the amounts are the same. */
const again = (platform: Platform, key: string, request: ReserveRequest): Answer | undefined => {
  const known = platform.reservedBy.get(key)
  if (known === undefined) return undefined
  const { id, requests, state, tokens, costUsd } = known.reserved
  const asked = takenBy(request)
  if (state === "held" && asked.requests === requests && asked.tokens === tokens && asked.costUsd === costUsd)
    return ok(known.body)
  return failure(
    409,
    "Conflict",
    "Conflict",
    `the idempotency key belongs to reservation \`${id}\`; use a new key`
  )
}

const reserve = (platform: Platform, body: unknown): Answer => {
  const request = read(ReserveRequest, body)
  const { amounts, context, idempotencyKey, ...check } = request
  const permission = platform.grantOf(request.actorId, request.resourceId, request.permissionType)
  const key = JSON.stringify([permission?.id, idempotencyKey])
  const known = again(platform, key, request)
  if (known !== undefined) return known
  const result = platform.check({
    ...check,
    fields: "entry",
    context: {
      ...context,
      ...(amounts.tokens == null ? {} : { request_tokens: amounts.tokens }),
      ...(amounts.costUsd == null ? {} : { estimated_cost: amounts.costUsd })
    }
  })
  const reserved: Reserved = {
    id: platform.nextId(),
    permissionId: permission?.id ?? "",
    ...takenBy(request),
    state: "held"
  }
  if (result.allowed) {
    platform.reservations.set(reserved.id, reserved)
    platform.use(reserved.permissionId, reserved.requests, reserved.tokens, reserved.costUsd)
  }
  const reservation = result.allowed
    ? {
        id: reserved.id,
        expires_at: platform.iso(),
        amounts: { requests: reserved.requests, tokens: reserved.tokens, cost_usd: reserved.costUsd }
      }
    : null
  const told = { ...(Schema.encodeSync(CheckResult)(result) as object), reservation }
  if (result.allowed && idempotencyKey != null) platform.reservedBy.set(key, { reserved, body: told })
  return ok(told)
}

const settle = (platform: Platform, id: string, body: unknown): Answer => {
  const amounts = read(Amounts, body)
  const reserved = platform.reservations.get(id)
  if (reserved === undefined) return missing
  const tokens = amounts.tokens ?? 0
  const costUsd = amounts.costUsd ?? 0
  if (reserved.state === "held")
    platform.use(reserved.permissionId, 0, tokens - reserved.tokens, costUsd - reserved.costUsd)
  reserved.state = "settled"
  reserved.tokens = tokens
  reserved.costUsd = costUsd
  return none
}

const release = (platform: Platform, id: string): Answer => {
  const reserved = platform.reservations.get(id)
  if (reserved === undefined) return missing
  if (reserved.state === "held") platform.use(reserved.permissionId, 0, -reserved.tokens, -reserved.costUsd)
  reserved.state = "released"
  return none
}

/** What a call used; closes the reservation that was made by its key instead, or keeps it from being made. */
const used = (platform: Platform, permissionId: string, usage: ReportUsage): Answer => {
  const { costUsd, requestCount, reservationKey, tokenCount } = usage
  const key = JSON.stringify([permissionId, reservationKey])
  const made = platform.reservedBy.get(key)?.reserved
  if (made === undefined) {
    if (reservationKey != null)
      platform.reservedBy.set(key, { reserved: unmade(platform, permissionId), body: null })
    if (reservationKey == null || requestCount !== 0)
      platform.use(permissionId, requestCount ?? 1, tokenCount ?? 0, costUsd ?? 0)
    return none
  }
  if (made.state !== "held") return none
  return requestCount === 0
    ? release(platform, made.id)
    : settle(platform, made.id, { tokens: tokenCount ?? 0, cost_usd: costUsd ?? 0 })
}

/** Stands for the reservation of a key that was reported first. */
const unmade = (platform: Platform, permissionId: string): Reserved => ({
  id: platform.nextId(),
  permissionId,
  requests: 0,
  tokens: 0,
  costUsd: 0,
  state: "released"
})

const toJson = Schema.decodeUnknownSync(Schema.Json)

const bundle = (platform: Platform, asked: Asked): Answer => {
  const policies = platform.policies.map((policy) => toJson(Schema.encodeSync(Policy)(policy)))
  const digest = createHash("sha256").update(JSON.stringify(policies)).digest("hex")
  const etag = `"${platform.policyVersion}-${digest.slice(0, 32)}"`
  if (asked.headers["if-none-match"] === etag) return { status: 304 }
  const value = { version: platform.policyVersion, digest, policies }
  const signed = platform.sign("bundle", value)
  return {
    status: 200,
    headers: { etag },
    body: Schema.encodeSync(PolicyBundle)({
      version: platform.policyVersion,
      policies: platform.policies,
      digest,
      ...signed,
      epoch: platform.epoch,
      organizationId: platform.organizationId
    })
  }
}

const score = (platform: Platform, actorId: string): Answer => {
  const { score: value } = platform.actor(actorId)
  return ok(
    Schema.encodeSync(Trust.TrustScoreAnswer)({
      success: true,
      data: {
        id: 1,
        entityId: ActorId.make(actorId),
        entityType: "agent",
        score: value,
        reputationScore: value,
        behaviorScore: value,
        complianceScore: value,
        lastUpdated: platform.iso(),
        createdAt: platform.iso(),
        signed: platform.signedScore(actorId)
      },
      message: "",
      timestamp: platform.iso()
    })
  )
}

const register = (platform: Platform, body: unknown): Answer => {
  const agentId = read(RegisterAgent, body).agentId ?? "agent"
  const id = ActorId.make(agentId)
  return ok(
    Schema.encodeSync(Agent)({
      id,
      agentId: id,
      containerId: null,
      name: agentId,
      type: "agent",
      version: "0",
      framework: null,
      model: null,
      owner: null,
      capabilities: [],
      endpoints: {},
      status: platform.actor(agentId).suspended ? "suspended" : "active",
      metadata: {},
      organizationId: platform.organizationId,
      lastSeenAt: platform.iso(),
      registeredAt: platform.iso(),
      createdAt: platform.iso(),
      updatedAt: platform.iso()
    })
  )
}

const events = (platform: Platform, body: unknown): Answer => {
  const { events: all } = read(IngestEvents, body)
  return ok({
    results: all.map((event) =>
      isRecord(event)
        ? { event_id: String(event["event_id"]), status: platform.event(event) }
        : { event_id: null, status: "refused", reason: "an event must be an object" }
    )
  })
}

/** A part of a path, decoded; throws `NotValid`. */
const part = (path: string, index: number): string => {
  const text = path.split("/")[index] ?? ""
  try {
    return decodeURIComponent(text)
  } catch {
    throw new NotValid(`the path is not valid: \`${text}\` has a \`%\` that encodes nothing`)
  }
}

const post = (platform: Platform, { path, body }: Asked): Answer => {
  if (path === "/permissions/check")
    return ok(Schema.encodeSync(CheckResult)(platform.check(read(CheckRequest, body))))
  if (path === "/permissions/check/batch") {
    const { checks, fields } = read(CheckBatch, body)
    const results = checks.map((check) => platform.check({ ...check, fields }))
    return ok(Schema.encodeSync(CheckBatchResult)({ results }))
  }
  if (path === "/permissions/reserve") return reserve(platform, body)
  if (path.endsWith("/settle")) return settle(platform, part(path, 3), body)
  if (path.endsWith("/release")) return release(platform, part(path, 3))
  if (path.endsWith("/usage")) {
    return used(platform, part(path, 2), read(ReportUsage, body))
  }
  if (path === "/events") return events(platform, body)
  if (path === "/agents/register") return register(platform, body)
  return missing
}

const listResources = (platform: Platform, query: URLSearchParams): Answer => {
  const type = query.get("resource_type")
  const all = [...platform.resources.values()].filter(
    ({ resourceType }) => type === null || type === resourceType
  )
  const limit = Number(query.get("limit") ?? 100)
  const offset = Number(query.get("offset") ?? 0)
  const resources = all.slice(offset, offset + limit).map((resource) => Schema.encodeSync(Resource)(resource))
  return ok({ resources, total: all.length, limit, offset })
}

const get = (platform: Platform, asked: Asked): Answer => {
  const { path } = asked
  if (path === "/signing-keys") {
    return ok(Schema.encodeSync(SigningKeys)({ keys: [platform.signingKey] }))
  }
  if (path === "/policies/bundle") return bundle(platform, asked)
  if (path.startsWith("/trust/score/")) return score(platform, part(path, 3))
  if (path === "/resources") {
    return listResources(platform, asked.query)
  }
  if (path.startsWith("/resources/")) {
    const resource = platform.resources.get(part(path, 2))
    return resource === undefined ? missing : ok(Schema.encodeSync(Resource)(resource))
  }
  return missing
}

const failed = (request: HttpClientRequest.HttpClientRequest, text: string) => {
  const cause = Object.assign(new Error(text), { code: text })
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause, description: text })
  })
}

const utf8 = new TextDecoder()

const bodyOf = (request: HttpClientRequest.HttpClientRequest): unknown => {
  const { body } = request
  if (body._tag !== "Uint8Array") return undefined
  const text = utf8.decode(body.body)
  try {
    return text === "" ? undefined : JSON.parse(text)
  } catch {
    throw new NotValid("the body is not valid JSON")
  }
}

/** Answers as the platform does, also what is not of the contract. */
const answer = (platform: Platform, asking: () => Asked): Answer => {
  try {
    const asked = asking()
    platform.arrived.push({ method: asked.method, path: asked.path, body: asked.body })
    return asked.method === "POST" ? post(platform, asked) : get(platform, asked)
  } catch (error) {
    if (error instanceof NotValid) return failure(400, "BadRequest", "Bad Request", error.said)
    throw error
  }
}

const respond = (platform: Platform, request: HttpClientRequest.HttpClientRequest, made: Answer) =>
  HttpClientResponse.fromWeb(
    request,
    new Response(made.body === undefined ? null : JSON.stringify(made.body), {
      status: made.status,
      headers: {
        "content-type": "application/json",
        [epochHeader]: String(platform.epoch),
        ...made.headers
      }
    })
  )

/** A client whose platform is in memory. */
export const layerHttpClient = (platform: Platform): Layer.Layer<HttpClient.HttpClient> =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) =>
      Effect.suspend(() => {
        const { fault } = platform
        const path = url.pathname.replace(/^\/api\/v1/, "")
        const done = () =>
          answer(platform, () => ({
            method: request.method,
            path,
            query: url.searchParams,
            body: bodyOf(request),
            headers: request.headers
          }))
        switch (fault._tag) {
          case "Refuse":
            return Effect.fail(failed(request, "ECONNREFUSED"))
          case "Hang":
            return Effect.never
          case "Lose":
            return Effect.flatMap(Effect.sync(done), () => Effect.fail(failed(request, "ECONNRESET")))
          case "Garble":
            return Effect.succeed(
              HttpClientResponse.fromWeb(request, new Response("<html>", { status: 200 }))
            )
          case "Status":
            platform.arrived.push({ method: request.method, path, body: undefined })
            return Effect.succeed(
              HttpClientResponse.fromWeb(
                request,
                new Response("", {
                  status: fault.status,
                  headers: fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter }
                })
              )
            )
          case "None":
            return Effect.map(Effect.yieldNow, () => respond(platform, request, done()))
        }
      })
    )
  )
