/** The routes of permissions: asking, granting, checking, using. */
import { ApiError, CheckBatch, type CheckRequest } from "@agion/domain"
import { Api, Caller } from "@agion/domain/api"
import { Effect, Option, Schema } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, HttpApiError } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { Tenancy } from "../organizations/Tenancy.ts"
import { dying } from "../sql/Failure.ts"
import * as CheckCodec from "./CheckCodec.ts"
import { type Asked, Checks } from "./Checks.ts"
import * as Ledger from "./Ledger.ts"
import { Permissions } from "./Permissions.ts"
import type { Owned } from "./PermissionsSql.ts"
import { placeNow, whereChecked } from "./Placing.ts"

const decodeBatch = Schema.decodeUnknownEffect(Schema.fromJsonString(CheckBatch))

const peerOf = (request: HttpServerRequest.HttpServerRequest): string | undefined =>
  Option.getOrUndefined(request.remoteAddress)

/** The handlers of group `permissions`. */
export const layer = HttpApiBuilder.group(
  Api,
  "permissions",
  Effect.fnUntraced(function* (handlers) {
    const permissions = yield* Permissions
    const checks = yield* Checks
    const tenancy = yield* Tenancy
    const sql = yield* SqlClient.SqlClient
    const place = yield* whereChecked

    /** The answer of a move is the permission. */
    const moved = <E, R>(move: Effect.Effect<Owned, E, R>) =>
      Effect.flatMap(move, ({ organizationId, permission }) =>
        Effect.as(tenancy.about(organizationId), permission)
      )

    const findOwned = Effect.fnUntraced(function* (id: Parameters<typeof permissions.get>[0]) {
      const found = yield* permissions.get(id, yield* tenancy.scope)
      yield* tenancy.about(found.organizationId)
      return found
    })

    const batch = Effect.fnUntraced(function* (
      questions: ReadonlyArray<CheckRequest>,
      fields: CheckRequest["fields"],
      peer: string | undefined
    ) {
      const caller = yield* Caller
      const asked: Array<Asked> = []
      for (const check of questions) {
        const question = fields == null || check.fields != null ? check : { ...check, fields }
        asked.push(placeNow(tenancy, caller, question, peer) ?? (yield* place(question, peer)))
      }
      if (asked[0] !== undefined) yield* tenancy.about(asked[0].organizationId)
      const text = CheckCodec.encodeBatch(yield* checks.batch(asked))
      return HttpServerResponse.text(text, { contentType: "application/json" })
    })

    // By hand, since a thousand checks come at once; what the codec does not take the schema refuses.
    const withBatch = handlers.handleRaw(
      "checkBatch",
      Effect.fnUntraced(function* ({ request }) {
        if (!CheckCodec.isJsonType(request.headers["content-type"]))
          return HttpServerResponse.empty({ status: 415 })
        const text = yield* Effect.orDie(request.text)
        const plain = CheckCodec.decodeBatch(text)
        if (plain !== undefined) return yield* batch(plain.checks, plain.fields, peerOf(request))
        const decoded = yield* HttpApiError.HttpApiSchemaError.wrap("Payload", decodeBatch(text)).pipe(
          Effect.orDie
        )
        return yield* batch(decoded.checks, decoded.fields, peerOf(request))
      })
    )

    return withBatch.handleAll({
      request: ({ payload }) =>
        Effect.flatMap(Caller, (caller) => moved(permissions.request(caller, payload))),
      check: ({ payload, request }) => Effect.flatMap(place(payload, peerOf(request)), checks.check),
      reserve: Effect.fnUntraced(function* ({ payload, request }) {
        const { agentId } = yield* Caller
        if (agentId !== null && agentId !== payload.actorId)
          return yield* new ApiError.Forbidden({
            message: `the key belongs to agent \`${agentId}\` and reserves for itself only`
          })
        return yield* checks.reserve(yield* place(payload, peerOf(request)), payload)
      }),
      settle: ({ params, payload }) =>
        Effect.flatMap(Caller, (caller) => checks.settle(caller, params.id, payload)),
      release: ({ params }) => Effect.flatMap(Caller, (caller) => checks.release(caller, params.id)),
      active: Effect.fnUntraced(function* ({ query }) {
        const active = yield* permissions.active(
          query.actorId,
          query.actorType ?? null,
          yield* tenancy.filter(undefined)
        )
        return { permissions: active, total: active.length }
      }),
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const limit = query.limit ?? 100
        const offset = query.offset ?? 0
        const { rows, total } = yield* permissions.list({ ...query, organizationId, limit, offset })
        return { permissions: rows, total, limit, offset }
      }),
      get: ({ params }) => Effect.map(findOwned(params.id), (found) => found.permission),
      update: ({ params, payload }) =>
        Effect.flatMap(Caller, (caller) => moved(permissions.update(caller, params.id, payload))),
      approve: ({ params, payload }) =>
        Effect.flatMap(Caller, (caller) => moved(permissions.approve(caller, params.id, payload))),
      deny: ({ params, payload }) =>
        Effect.flatMap(Caller, (caller) => moved(permissions.deny(caller, params.id, payload))),
      revoke: ({ params, payload }) =>
        Effect.flatMap(Caller, (caller) => moved(permissions.revoke(caller, params.id, payload))),
      usage: Effect.fnUntraced(function* ({ params, payload }) {
        const organizationId = yield* checks.use(yield* Caller, params.id, payload)
        if (organizationId !== undefined) yield* tenancy.about(organizationId)
      }),
      ledger: Effect.fnUntraced(function* ({ params, query }) {
        yield* findOwned(params.id)
        return yield* dying(Ledger.list(sql, params.id, query.limit ?? 100, query.offset ?? 0))
      })
    })
  })
)
