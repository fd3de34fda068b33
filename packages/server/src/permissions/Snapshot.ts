/**
 * What checks need, in memory, so that a check costs no query: resources, actors with their scores and
 * permissions, settings and compiled policies, by organization. Read when first asked for, dropped when a change
 * names it, and read again with the next check: a write is answered after what it changed was dropped, so the
 * check that follows decides by it (FRESH-1).
 */
import { type CheckRequest, isUuid, type Permission, type UsageTracking } from "@agion/domain"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { Feed } from "../changes/Feed.ts"
import { type Compiled, Policies } from "../policies/Policies.ts"
import { dying } from "../sql/Failure.ts"
import { type Grant, grantKey, type Organization, SnapshotMemory } from "./SnapshotMemory.ts"
import * as Store from "./SnapshotSql.ts"

/** Everything that a decision depends on, but for what was used. */
export interface Known {
  readonly organizationId: string
  readonly settings: Store.Settings
  readonly policies: Compiled
  readonly actor: Store.KnownActor
  /** 0 to 100; 40 where there is none. */
  readonly trustScore: number
  readonly resource: Store.KnownResource | null
  readonly permission: Permission | null
  /** The organization's epoch. */
  readonly epoch: number
}

/** Who wants what. */
export type Question = Pick<CheckRequest, "actorId" | "actorType" | "resourceId" | "permissionType">

export interface SnapshotOptions {
  /** Actors and resources that are kept in all organizations together. Default: 200,000. */
  readonly maxEntries?: number
}

export class Snapshot extends Context.Service<
  Snapshot,
  {
    /** What is known already; undefined: it must be loaded. */
    readonly peek: (organizationId: string, question: Question) => Known | undefined
    /** Reads what is missing for several questions about one organization, and answers them in order. */
    readonly know: (
      organizationId: string,
      questions: ReadonlyArray<Question>
    ) => Effect.Effect<ReadonlyArray<Known>>
    /** Which organization a resource belongs to; undefined: there is no such resource. */
    readonly ownerOf: (resourceId: string) => Effect.Effect<string | undefined>
    /** What a permission shows of its usage has changed; its decision has not. */
    readonly used: (organizationId: string, permission: Grant, usage: UsageTracking) => void
    /** How much is kept, and how many readings are under way. */
    readonly size: () => {
      readonly organizations: number
      readonly entries: number
      readonly readings: number
    }
  }
>()("@agion/server/Snapshot") {
  static readonly layer = (
    options?: SnapshotOptions
  ): Layer.Layer<Snapshot, never, SqlClient.SqlClient | Changes | Policies | Feed> =>
    Layer.effect(Snapshot, make(options ?? {}))
}

/** What is being read: a change that names it meanwhile makes it be read again. */
interface Reading {
  readonly organizationId: string
  readonly ids: ReadonlySet<string>
  stale: boolean
}

const defaultTrust = 40

const make = Effect.fnUntraced(function* (options: SnapshotOptions) {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const policies = yield* Policies
  const feed = yield* Feed
  const store = Store.make(sql)
  const maxEntries = options.maxEntries ?? 200_000
  const memory = new SnapshotMemory(maxEntries)
  const owners = new Map<string, string>()
  const readings = new Set<Reading>()

  yield* changes.listen((announced) => {
    const { message, organizationId } = announced
    if (message.kind === "heartbeat") return
    for (const reading of readings)
      if (
        reading.organizationId === organizationId &&
        (message.ids.length === 0 ||
          message.kind === "organization" ||
          message.ids.some((id) => reading.ids.has(id)))
      )
        reading.stale = true
    for (const id of message.kind === "resource" ? message.ids : []) owners.delete(id)
    memory.hear(announced)
  })
  feed.onGap(() => {
    memory.clear()
    owners.clear()
    for (const reading of readings) reading.stale = true
  })

  const peek = (organizationId: string, question: Question): Known | undefined => {
    const compiled = policies.peek(organizationId)
    const organization = compiled === undefined ? undefined : memory.use(organizationId)
    return organization === undefined || compiled === undefined
      ? undefined
      : lookUp(organization, compiled, question, changes.epoch(organizationId))
  }

  /** Reads what is missing into the organization, again while changes come in between. */
  const read: (organizationId: string, questions: ReadonlyArray<Question>) => Effect.Effect<Organization> =
    Effect.fnUntraced(function* (organizationId, questions) {
      const kept = memory.get(organizationId)
      const actorIds = [...new Set(questions.map((question) => question.actorId))].filter(
        (id) => kept === undefined || !kept.actors.has(id)
      )
      const resourceIds = [...new Set(questions.map((question) => question.resourceId))].filter(
        (id) => kept === undefined || !kept.resources.has(id)
      )
      const ids = new Set<string>([...actorIds, ...resourceIds])
      const reading: Reading = { organizationId, ids, stale: false }
      const parts = Effect.gen(function* () {
        readings.add(reading)
        const settings = kept?.settings ?? (yield* dying(store.settings(organizationId)))
        // From here on every change that is not in what is read will be told.
        if (kept === undefined && settings !== undefined && !changes.note(organizationId, settings.epoch))
          reading.stale = true
        const [actors, resources] = yield* Effect.all(
          [
            actorIds.length === 0
              ? Effect.succeed([])
              : dying(store.actors(organizationId, actorIds, settings?.budgetLimit ?? null)),
            resourceIds.length === 0
              ? Effect.succeed(new Map<string, Store.KnownResource>())
              : dying(store.resources(organizationId, resourceIds.filter(isUuid))),
            policies.compiled(organizationId)
          ],
          { concurrency: 3 }
        )
        return { settings, actors, resources }
      })
      const { settings, actors, resources } = yield* Effect.ensuring(
        parts,
        Effect.sync(() => readings.delete(reading))
      )
      if (reading.stale) return yield* read(organizationId, questions)
      return memory.place(organizationId, { settings, actors, resourceIds, resources })
    })

  const know: Snapshot["Service"]["know"] = Effect.fnUntraced(function* (organizationId, questions) {
    for (;;) {
      const missing = questions.filter((question) => peek(organizationId, question) === undefined)
      if (missing.length > 0) {
        // What does not fit is not kept, and is answered from what was read.
        const organization = yield* read(organizationId, missing)
        const compiled = yield* policies.compiled(organizationId)
        const found = questions.flatMap(
          (question) => lookUp(organization, compiled, question, changes.epoch(organizationId)) ?? []
        )
        if (found.length === questions.length) return found
        continue
      }
      const known = questions.flatMap((question) => peek(organizationId, question) ?? [])
      if (known.length === questions.length) return known
    }
  })

  return Snapshot.of({
    peek,
    know,
    ownerOf: Effect.fnUntraced(function* (resourceId) {
      const known = owners.get(resourceId)
      if (known !== undefined || !isUuid(resourceId)) return known
      const owner = (yield* dying(store.ownerOf([resourceId]))).get(resourceId)
      if (owner === undefined) return undefined
      if (owners.size >= maxEntries) owners.clear()
      owners.set(resourceId, owner)
      return owner
    }),
    used: (organizationId, permission, usage) => memory.used(organizationId, permission, usage),
    size: () => ({ ...memory.size(), readings: readings.size })
  })
})

const lookUp = (
  organization: Organization,
  policies: Compiled,
  question: Question,
  epoch: number | undefined
): Known | undefined => {
  const actor = organization.actors.get(question.actorId)
  const resource = organization.resources.get(question.resourceId)
  if (actor === undefined || resource === undefined) return undefined
  const granted = actor.permissions.get(question.resourceId)
  return {
    organizationId: organization.id,
    settings: organization.settings,
    policies,
    actor: actor.known,
    trustScore: actor.known.scores.get(question.actorType) ?? defaultTrust,
    resource,
    permission: granted?.get(grantKey(question.actorType, question.permissionType)) ?? null,
    epoch: epoch ?? organization.settings.epoch
  }
}
