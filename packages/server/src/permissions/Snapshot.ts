/**
 * What checks need, in memory, so that a check costs no query: resources, actors with their scores and
 * permissions, settings and compiled policies, by organization. Read when first asked for, dropped when a change
 * names it, and read again with the next check: a write is answered after what it changed was dropped, so the
 * check that follows decides by it (FRESH-1).
 *
 * Bounded: so many things in all; the least recently used organization leaves first.
 */
import { type CheckRequest, isUuid, type Permission, type UsageTracking } from "@agion/domain"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { Feed } from "../changes/Feed.ts"
import type { Announced } from "../changes/Order.ts"
import { type Compiled, Policies } from "../policies/Policies.ts"
import { dying } from "../sql/Failure.ts"
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

/** Which permission it is. */
export interface Grant {
  readonly id: string
  readonly actorId: string
  readonly actorType: string
  readonly resourceId: string
  readonly permissionType: string
}

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

interface Organization {
  readonly id: string
  settings: Store.Settings
  readonly resources: Map<string, Store.KnownResource | null>
  readonly actors: Map<string, Actor>
}

interface Actor {
  readonly known: Store.KnownActor
  /** By resource, then by actor type and permission type. */
  readonly permissions: Map<string, Map<string, Permission>>
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
  const organizations = new Map<string, Organization>()
  const owners = new Map<string, string>()
  const readings = new Set<Reading>()
  const maxEntries = options.maxEntries ?? 200_000
  let entries = 0
  let newest: Organization | undefined

  const forget = (organization: Organization) => {
    entries -= organization.resources.size + organization.actors.size
    organizations.delete(organization.id)
    if (newest === organization) newest = undefined
  }

  /** Also whoever has it in hand must read again. */
  const empty = (organization: Organization) => {
    forget(organization)
    organization.actors.clear()
    organization.resources.clear()
  }

  const hear = ({ organizationId, message }: Announced) => {
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
    const organization = organizations.get(organizationId)
    if (organization === undefined) return
    if (message.kind === "organization" || message.ids.length === 0) return empty(organization)
    entries -= drop(organization, message.kind, message.ids)
  }
  yield* changes.listen(hear)
  feed.onGap(() => {
    for (const organization of organizations.values()) empty(organization)
    owners.clear()
    for (const reading of readings) reading.stale = true
  })

  const touch = (organization: Organization) => {
    if (newest === organization) return
    newest = organization
    organizations.delete(organization.id)
    organizations.set(organization.id, organization)
  }

  const peek = (organizationId: string, question: Question): Known | undefined => {
    const organization = organizations.get(organizationId)
    const compiled = policies.peek(organizationId)
    if (organization === undefined || compiled === undefined) return undefined
    touch(organization)
    return lookUp(organization, compiled, question, changes.epoch(organizationId))
  }

  const keep = (organization: Organization, actors: ReadonlyArray<Store.KnownActor>) => {
    for (const known of actors) {
      if (!organization.actors.has(known.id)) entries += 1
      organization.actors.set(known.id, { known, permissions: indexed(known.permissions) })
    }
  }

  const keepResources = (
    organization: Organization,
    ids: ReadonlyArray<string>,
    found: ReadonlyMap<string, Store.KnownResource>
  ) => {
    for (const id of ids) {
      if (!organization.resources.has(id)) entries += 1
      organization.resources.set(id, found.get(id) ?? null)
    }
  }

  /** Lets the least recently used go until what is kept fits; the newest alone is emptied when it does not. */
  const bound = (newcomer: Organization) => {
    for (const organization of organizations.values()) {
      if (entries <= maxEntries) return
      if (organization !== newcomer) forget(organization)
    }
    if (entries > maxEntries) forget(newcomer)
  }

  /** Reads what is missing into the organization, again while changes come in between. */
  const read: (organizationId: string, questions: ReadonlyArray<Question>) => Effect.Effect<Organization> =
    Effect.fnUntraced(function* (organizationId, questions) {
      const kept = organizations.get(organizationId)
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
      return place(organizationId, settings, actors, resourceIds, resources)
    })

  const place = (
    organizationId: string,
    settings: Store.Settings | undefined,
    actors: ReadonlyArray<Store.KnownActor>,
    resourceIds: ReadonlyArray<string>,
    resources: ReadonlyMap<string, Store.KnownResource>
  ): Organization => {
    const organization = organizations.get(organizationId) ?? {
      id: organizationId,
      settings: settings ?? unknownSettings,
      resources: new Map(),
      actors: new Map()
    }
    if (settings !== undefined && !organizations.has(organizationId)) {
      organizations.set(organizationId, organization)
    }
    const counted = entries
    keep(organization, actors)
    keepResources(organization, resourceIds, resources)
    // An organization that is not there yet is not kept: nothing would tell when it comes.
    if (settings === undefined) entries = counted
    else bound(organization)
    return organization
  }

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
    used: (organizationId, permission, usage) => {
      const granted = organizations.get(organizationId)?.actors.get(permission.actorId)?.permissions
      const byType = granted?.get(permission.resourceId)
      const key = grantKey(permission.actorType, permission.permissionType)
      const kept = byType?.get(key)
      if (kept?.id === permission.id) byType?.set(key, { ...kept, usageTracking: usage })
    },
    size: () => ({ organizations: organizations.size, entries, readings: readings.size })
  })
})

const unknownSettings: Store.Settings = {
  epoch: 0,
  timeZone: "UTC",
  enforcement: "enforce",
  budgetLimit: null
}

const grantKey = (actorType: string, permissionType: string): string => `${actorType} ${permissionType}`

const indexed = (permissions: ReadonlyArray<Permission>): Map<string, Map<string, Permission>> => {
  const index = new Map<string, Map<string, Permission>>()
  for (const permission of permissions) {
    const byType = index.get(permission.resourceId) ?? new Map<string, Permission>()
    byType.set(grantKey(permission.actorType, permission.permissionType), permission)
    index.set(permission.resourceId, byType)
  }
  return index
}

/** Drops what a change names; answers how many entries went. */
const drop = (
  organization: Organization,
  kind: Announced["message"]["kind"],
  ids: ReadonlyArray<string>
): number => {
  let dropped = 0
  if (kind === "resource") for (const id of ids) dropped += organization.resources.delete(id) ? 1 : 0
  if (kind === "trust" || kind === "agent")
    for (const id of ids) dropped += organization.actors.delete(id) ? 1 : 0
  // Three ids for each permission: itself, its actor, its resource.
  if (kind === "permission")
    for (let at = 1; at < ids.length; at += 3) dropped += organization.actors.delete(ids[at] ?? "") ? 1 : 0
  return dropped
}

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
