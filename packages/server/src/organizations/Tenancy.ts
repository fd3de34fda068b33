/**
 * Whose is it? With a key: the key's organization; another one in the request is refused, and a row of another
 * is not found. While authentication is off: the organization in the request, else that of the row that an id
 * names, else where the named actor was last seen, else `default`. A list that names none covers all.
 *
 * What a request turns out to be about is remembered: its answer carries that organization's epoch.
 */
import { ApiError, defaultOrganization, OrganizationId } from "@agion/domain"
import { Caller, type CallerInfo } from "@agion/domain/api"
import { Context, Effect, identity, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import * as TenantRole from "../sql/TenantRole.ts"

type Named = string | null | undefined

export class Tenancy extends Context.Service<
  Tenancy,
  {
    /** For what belongs to one organization: the key's, else the named, else `default`. */
    readonly of: (named: Named) => Effect.Effect<OrganizationId, ApiError.Forbidden, Caller>
    /** For what names an actor: the key's, else the named, else where the actor was last seen, else `default`. */
    readonly ofActor: (
      named: Named,
      actorId: string
    ) => Effect.Effect<OrganizationId, ApiError.Forbidden, Caller>
    /** For lists: the key's, else the named, else null, which is all organizations. */
    readonly filter: (named: Named) => Effect.Effect<OrganizationId | null, ApiError.Forbidden, Caller>
    /** For what names a row that is there: fails when it belongs to another organization than the key's. */
    readonly owns: (
      rowOrganizationId: string | null,
      missing: () => ApiError.NotFound
    ) => Effect.Effect<void, ApiError.NotFound, Caller>
    /** The organization whose rows an id may name; null: any. For the WHERE of a look-up by id. */
    readonly scope: Effect.Effect<OrganizationId | null, never, Caller>
    /** Remembers that a request is about an organization (`owns`, `of` and `ofActor` do so themselves). */
    readonly about: (organizationId: string) => Effect.Effect<void, never, Caller>
    /** Remembers where an actor was last seen: registered there, requested a permission, was checked. */
    readonly note: (actorId: string, organizationId: string) => Effect.Effect<void>
    /** True when an actor is known to have been seen last in an organization: nothing is to be written. */
    readonly isNoted: (actorId: string, organizationId: string) => boolean
    /** Marks an organization as in use, so that its epoch is told every second. */
    readonly use: (organizationId: string) => void
    /** Where actors were last seen; `default` for those that were not. */
    readonly organizationsOf: (
      actorIds: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyMap<string, OrganizationId>>
    /**
     * Runs the request of a key as the role of its organization, whatever a WHERE forgets; as the owner where there is
     * no key, and on the routes that decide and count, whose statements are shared by requests. For the HTTP layer.
     */
    readonly isolated: (
      caller: CallerInfo,
      group: string,
      endpoint: string
    ) => <A, E, R>(request: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** What the request of a caller turned out to be about. For the HTTP layer. */
    readonly subject: (caller: CallerInfo) => string | undefined
  }
>()("@agion/server/Tenancy") {
  static readonly layer = (): Layer.Layer<Tenancy, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Tenancy, make)
}

const maxRemembered = 100_000

/** Routes that are no tenant's: they decide or count from memory, or read together for whoever waits. */
const ownersRoutes: { readonly [group: string]: ReadonlyArray<string> } = {
  permissions: ["check", "checkBatch", "reserve", "settle", "release", "usage"],
  events: ["ingest"],
  stream: ["subscribe"]
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const subjects = new WeakMap<CallerInfo, string>()
  /** Written already: an actor that stays in its organization costs no statement. */
  const seen = new Map<string, string>()

  const about = (caller: CallerInfo, organizationId: string) => {
    subjects.set(caller, organizationId)
    changes.touch(organizationId)
  }

  const decide = (
    caller: CallerInfo,
    named: Named
  ): Effect.Effect<OrganizationId | null, ApiError.Forbidden> => {
    const own = caller.organizationId
    if (own === null) return Effect.succeed(named == null ? null : OrganizationId.make(named))
    if (named != null && named !== own) return Effect.fail(foreign(named))
    return Effect.succeed(OrganizationId.make(own))
  }

  const settle = (caller: CallerInfo, organizationId: OrganizationId) => {
    about(caller, organizationId)
    return organizationId
  }

  const organizationsOf = Effect.fnUntraced(function* (actorIds: ReadonlyArray<string>) {
    const found = new Map<string, OrganizationId>(actorIds.map((id) => [id, defaultOrganization]))
    const rows = yield* Effect.orDie(sql<{ actor_id: string; organization_id: string }>`
      SELECT actor_id, organization_id FROM actor_organizations WHERE actor_id = ANY(${actorIds}::text[])`)
    for (const row of rows) found.set(row.actor_id, OrganizationId.make(row.organization_id))
    return found
  })

  return Tenancy.of({
    of: (named) =>
      Effect.flatMap(Caller, (caller) =>
        Effect.map(decide(caller, named), (id) => settle(caller, id ?? defaultOrganization))
      ),
    ofActor: Effect.fnUntraced(function* (named, actorId) {
      const caller = yield* Caller
      const decided = yield* decide(caller, named)
      const last = decided ?? (yield* organizationsOf([actorId])).get(actorId)
      return settle(caller, last ?? defaultOrganization)
    }),
    filter: (named) =>
      Effect.flatMap(Caller, (caller) =>
        Effect.map(decide(caller, named), (id) => (id === null ? null : settle(caller, id)))
      ),
    owns: (organizationId, missing) =>
      Effect.flatMap(Caller, (caller) => {
        if (caller.organizationId !== null && caller.organizationId !== organizationId)
          return Effect.fail(missing())
        if (organizationId !== null) about(caller, organizationId)
        return Effect.void
      }),
    scope: Effect.map(Caller, (caller) =>
      caller.organizationId === null ? null : OrganizationId.make(caller.organizationId)
    ),
    about: (organizationId) => Effect.map(Caller, (caller) => about(caller, organizationId)),
    note: Effect.fnUntraced(function* (actorId, organizationId) {
      if (seen.get(actorId) === organizationId) return
      // The row may be another organization's until now.
      yield* Effect.orDie(
        TenantRole.asOwner(sql)(sql`
          INSERT INTO actor_organizations (actor_id, organization_id) VALUES (${actorId}, ${organizationId})
          ON CONFLICT (actor_id) DO UPDATE SET organization_id = excluded.organization_id, seen_at = now()`)
      )
      yield* sql.afterCommit(
        Effect.sync(() => {
          if (seen.size >= maxRemembered) seen.clear()
          seen.set(actorId, organizationId)
        })
      )
    }),
    isNoted: (actorId, organizationId) => seen.get(actorId) === organizationId,
    use: changes.touch,
    organizationsOf,
    isolated: ({ organizationId }, group, endpoint) =>
      organizationId === null || ownersRoutes[group]?.includes(endpoint) === true
        ? identity
        : TenantRole.within(sql, organizationId),
    subject: (caller) => subjects.get(caller)
  })
})

const foreign = (named: string) =>
  new ApiError.Forbidden({
    message: `the key does not speak for organization \`${named}\`; leave organization_id out or use its own key`
  })
