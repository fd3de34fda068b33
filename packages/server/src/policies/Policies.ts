/**
 * Policies: what must hold, and rules that decide. An expression is compiled and type-checked before it is
 * stored (POLICY-5), so that what is stored can be compiled whole (POLICY-7). A change raises the epoch of the
 * organizations that it concerns and is told on the policy channels.
 */
import {
  ApiError,
  type CreatePolicy,
  type GatewayPolicy,
  type Policy,
  type UpdatePolicy
} from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { PolicySet, StoredPolicy } from "@agion/policy"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import * as Governance from "../changes/Governance.ts"
import { dying } from "../sql/Failure.ts"
import type { Page } from "../sql/page.ts"
import { gatewayPolicy, matchesAgent } from "./forms.ts"
import * as Store from "./PoliciesSql.ts"

type Refused = ApiError.NotFound | ApiError.Forbidden | ApiError.Unprocessable

/** The active policies of an organization, ready to be asked. */
export interface Compiled {
  readonly set: PolicySet.PolicySet
  /** Rises with every change of a policy of the organization. */
  readonly version: number
  readonly epoch: number
  readonly policies: ReadonlyArray<Policy>
  /** True when an expression reads what the actor spent today. */
  readonly readsSpend: boolean
  /** True when an expression reads who asks: one caller's answer is no other's. */
  readonly readsPeer: boolean
}

export class Policies extends Context.Service<
  Policies,
  {
    readonly list: (filter: Store.PolicyFilter) => Effect.Effect<Page<Policy>>
    readonly get: (id: number, organizationId: string | null) => Effect.Effect<Policy, ApiError.NotFound>
    /** 422 with line and column for what does not compile. `organizationId` null: for all organizations. */
    readonly create: (
      organizationId: string | null,
      policy: CreatePolicy
    ) => Effect.Effect<Policy, ApiError.Unprocessable>
    readonly update: (caller: CallerInfo, id: number, change: UpdatePolicy) => Effect.Effect<Policy, Refused>
    readonly remove: (
      caller: CallerInfo,
      id: number
    ) => Effect.Effect<Policy, ApiError.NotFound | ApiError.Forbidden>
    /** The active policies as the gateway lists them: expressions that say when `enforcement` applies. */
    readonly gateway: (query: {
      readonly organizationId: string
      readonly agentId: string | undefined
      readonly status: Policy["status"]
    }) => Effect.Effect<ReadonlyArray<GatewayPolicy>>
    /** The compiled set of an organization; compiled once for each version. */
    readonly compiled: (organizationId: string) => Effect.Effect<Compiled>
    /** The same when it is there already. */
    readonly peek: (organizationId: string) => Compiled | undefined
  }
>()("@agion/server/Policies") {
  static readonly layer = (): Layer.Layer<Policies, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Policies, make)
}

const maxCompiled = 1000

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const names = yield* Governance.Names
  const clock = yield* Clock.Clock
  const store = Store.make(sql)
  const cache = yield* compiledCache(store, changes)

  const tell = Effect.fnUntraced(function* (policy: Policy) {
    const version = yield* store.raise(policy.organizationId)
    const change = {
      kind: "policy",
      ids: [String(policy.id)],
      entries: Governance.policyUpdated(names, clock.currentTimeMillisUnsafe(), {
        policyId: policy.id,
        organizationId: policy.organizationId,
        version
      })
    } as const
    if (policy.organizationId !== null)
      yield* changes.record({ ...change, organizationId: policy.organizationId })
    else {
      yield* changes.recordAll(change)
      yield* sql.afterCommit(Effect.sync(cache.clear))
    }
  })

  const create = (organizationId: string | null, policy: CreatePolicy) =>
    Effect.gen(function* () {
      const fields = Store.created(policy)
      yield* accepts(fields)
      const made = yield* store.insert(organizationId, policy.createdBy ?? null, fields)
      yield* store.keepVersion(made, policy.createdBy ?? null)
      yield* tell(made)
      return made
    }).pipe(sql.withTransaction, dying)

  /** Locks a policy that the caller may change. */
  const lock = Effect.fnUntraced(function* (caller: CallerInfo, id: number) {
    // A tenant reads what all organizations share, and cannot lock it.
    const locked = yield* store.lock(id, caller.organizationId)
    const found = locked ?? (yield* store.find(id, caller.organizationId))
    if (found === undefined) return yield* missing(id)
    if (found.isSystemPolicy)
      return yield* new ApiError.Forbidden({
        message: `policy \`${id}\` is part of the platform and cannot be changed; add a policy of your own`
      })
    if (caller.organizationId !== null && found.organizationId === null)
      return yield* new ApiError.Forbidden({ message: `policy \`${id}\` belongs to all organizations` })
    return locked ?? (yield* missing(id))
  })

  const update = (caller: CallerInfo, id: number, change: UpdatePolicy) =>
    Effect.gen(function* () {
      const before = yield* lock(caller, id)
      const fields = Store.updated(before, change)
      yield* accepts(fields)
      const after = yield* store.update(id, change.updatedBy ?? null, fields)
      if (after === undefined) return yield* missing(id)
      yield* store.keepVersion(after, change.updatedBy ?? null)
      yield* tell(after)
      return after
    }).pipe(sql.withTransaction, dying)

  const remove = (caller: CallerInfo, id: number) =>
    Effect.gen(function* () {
      const found = yield* lock(caller, id)
      yield* store.remove(id)
      yield* tell(found)
      return found
    }).pipe(sql.withTransaction, dying)

  const gateway: Policies["Service"]["gateway"] = ({ organizationId, agentId, status }) =>
    Effect.map(
      status === "active"
        ? Effect.map(cache.compiled(organizationId), (compiled) => compiled.policies)
        : Effect.map(dying(store.list({ organizationId, limit: 100_000, offset: 0 })), ({ rows }) =>
            rows.filter((policy) => policy.status === status && !policy.isSystemPolicy)
          ),
      (policies) =>
        policies
          .filter((policy) => agentId === undefined || matchesAgent(policy, agentId))
          .flatMap((policy) => gatewayPolicy(policy) ?? [])
    )

  return Policies.of({
    list: (filter) => dying(store.list(filter)),
    get: (id, organizationId) =>
      dying(
        Effect.flatMap(store.find(id, organizationId), (found) =>
          found === undefined ? Effect.fail(missing(id)) : Effect.succeed(found)
        )
      ),
    create,
    update,
    remove,
    gateway,
    compiled: cache.compiled,
    peek: cache.peek
  })
})

const missing = (id: number) => new ApiError.NotFound({ message: `there is no policy \`${id}\`` })

/** Refuses what an engine could not load. */
const accepts = (fields: Store.PolicyFields): Effect.Effect<void, ApiError.Unprocessable> => {
  if (fields.policyLanguage === "json")
    return refuse("policies in the language `json` are no longer taken; write `policy_expr` in CEL")
  if (fields.policyExpr === null) return refuse("`policy_expr` is missing; say what must hold, in CEL")
  const policies = StoredPolicy.toSetPolicies([{ ...fields, id: 0, version: 1, status: "active" }])
  return PolicySet.compile(policies).pipe(
    Effect.asVoid,
    Effect.catch(({ errors }) => {
      const first = errors[0]
      const place =
        first === undefined || first.line === 0 ? "" : `line ${first.line}, column ${first.column}: `
      return refuse(
        `${place}${first?.message ?? "the policy does not compile"}`,
        JSON.stringify(
          errors.map(({ field, code, message, line, column, excerpt }) => ({
            field,
            code,
            message,
            line,
            column,
            excerpt
          }))
        )
      )
    })
  )
}

const refuse = (message: string, details = "") =>
  Effect.fail(new ApiError.Unprocessable({ message, details }))

/** Compiled sets by organization. A change while a set is being made makes it be made again. */
const compiledCache = Effect.fnUntraced(function* (store: Store.PoliciesSql, changes: Changes["Service"]) {
  const cache = new Map<string, Compiled>()
  const generations = new Map<string, number>()
  let cleared = 0
  const generation = (organizationId: string) => cleared + (generations.get(organizationId) ?? 0)

  const clear = () => {
    cleared += 1
    cache.clear()
  }
  yield* changes.listen(({ organizationId, message }) => {
    if (message.kind !== "policy" && (message.kind === "heartbeat" || message.ids.length > 0)) return
    generations.set(organizationId, (generations.get(organizationId) ?? 0) + 1)
    cache.delete(organizationId)
    if (generations.size > 100_000) {
      clear()
      generations.clear()
    }
  })

  const load: (organizationId: string) => Effect.Effect<Compiled> = Effect.fnUntraced(
    function* (organizationId) {
      const began = generation(organizationId)
      const active = yield* dying(store.active(organizationId))
      const set = yield* Effect.orDie(PolicySet.compile(StoredPolicy.toSetPolicies(active.policies)))
      const compiled: Compiled = {
        ...active,
        set,
        readsSpend: reads(set, spendFacts),
        readsPeer: reads(set, peerFacts)
      }
      const isFollowed = changes.note(organizationId, active.epoch)
      if (!isFollowed || generation(organizationId) !== began) return yield* load(organizationId)
      if (cache.size >= maxCompiled) for (const oldest of cache.keys()) if (cache.delete(oldest)) break
      cache.set(organizationId, compiled)
      return compiled
    }
  )

  return {
    clear,
    peek: (organizationId: string) => cache.get(organizationId),
    compiled: (organizationId: string) => {
      const known = cache.get(organizationId)
      return known === undefined ? load(organizationId) : Effect.succeed(known)
    }
  }
})

const spendFacts = ["context.cost_today", "context.tokens_today", "context.requests_today"]
const peerFacts = ["context.client_ip"]

/** True as well for an expression that reads \`context\` as a whole. */
const reads = (set: PolicySet.PolicySet, facts: ReadonlyArray<string>): boolean =>
  [...set.facts()].some((path) => path === "context" || facts.some((fact) => path.startsWith(fact)))
