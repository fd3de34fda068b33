/**
 * `GET /api/v1/stream?agent_id=…`: server-sent events for one agent. Events: `heartbeat`, `invalidation`,
 * `trust`, `policy` (each an `EpochMessage`; its id is the epoch), `approval`, `mission`.
 *
 * `Last-Event-ID` resumes after that epoch; when what came since is no longer known, the first event tells the
 * client to drop everything that it holds of the organization. A stream ends when its key is removed.
 */
import { ActorId, ApiError, OrganizationId, Wire } from "@agion/domain"
import { Authentication, Caller, ErrorBodies } from "@agion/domain/api"
import { Effect, Layer, Schema, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Subscribers } from "./Subscribers.ts"

class StreamApi extends HttpApi.make("agion-stream")
  .add(
    HttpApiGroup.make("stream").add(
      HttpApiEndpoint.get("subscribe", "/stream", {
        query: Wire.struct({ agentId: ActorId, organizationId: Schema.optional(OrganizationId) }),
        headers: { "last-event-id": Schema.optional(Schema.String) },
        success: Schema.String
      })
    )
  )
  .middleware(Authentication)
  .middleware(ErrorBodies)
  .prefix("/api/v1") {}

const handlers = HttpApiBuilder.group(
  StreamApi,
  "stream",
  Effect.fnUntraced(function* (group) {
    const subscribers = yield* Subscribers
    const tenancy = yield* Tenancy
    return group.handleRaw(
      "subscribe",
      Effect.fnUntraced(function* ({ query, headers }) {
        const caller = yield* Caller
        const { agentId } = query
        if (caller.agentId !== null && caller.agentId !== agentId)
          return yield* new ApiError.Forbidden({
            message: `the key belongs to agent \`${caller.agentId}\` and cannot listen for \`${agentId}\``
          })
        const organizationId = yield* tenancy.ofActor(query.organizationId, agentId)
        const lastEpoch = epochOf(headers["last-event-id"])
        const frames = Stream.unwrap(
          Effect.map(
            Effect.orDie(subscribers.subscribe({ organizationId, agentId, lastEpoch, keyId: caller.keyId })),
            Stream.fromQueue
          )
        )
        return HttpServerResponse.stream(frames, {
          contentType: "text/event-stream",
          headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
        })
      })
    )
  })
)

/** An epoch; what is none makes the client drop everything, as an unknown one does. */
const epochOf = (header: string | undefined): number | undefined => {
  if (header === undefined || header === "") return undefined
  return /^\d{1,15}$/.test(header) ? Number(header) : -1
}

/** The route, beside the contract's other ones. */
export const layer = HttpApiBuilder.layer(StreamApi).pipe(Layer.provide(handlers))
