/**
 * Resources and what hangs under them. A change raises the organization's epoch, names the resource and all
 * below it, and goes to `governance-events`, in one transaction.
 */
import {
  ApiError,
  type CreateResource,
  type Resource,
  type ResourceId,
  type UpdateResource
} from "@agion/domain"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import * as Governance from "../changes/Governance.ts"
import { dying, onViolation } from "../sql/Failure.ts"
import type { Page } from "../sql/page.ts"
import * as Store from "./ResourcesSql.ts"

export class Resources extends Context.Service<
  Resources,
  {
    /** Fails with 404 when the parent is not one of the organization, with 409 when the name is taken. */
    readonly create: (
      resource: CreateResource
    ) => Effect.Effect<Resource, ApiError.NotFound | ApiError.Conflict>
    /** `organizationId` null: of any. */
    readonly get: (
      id: ResourceId,
      organizationId: string | null
    ) => Effect.Effect<Resource, ApiError.NotFound>
    readonly list: (filter: Store.ResourceFilter) => Effect.Effect<Page<Resource>>
    readonly children: (id: ResourceId) => Effect.Effect<ReadonlyArray<Resource>>
    readonly update: (
      id: ResourceId,
      organizationId: string | null,
      changes: UpdateResource
    ) => Effect.Effect<Resource, ApiError.NotFound | ApiError.Conflict>
    /** With its permissions; with its children only where `cascade` says so, else 409. */
    readonly remove: (
      id: ResourceId,
      organizationId: string | null,
      options: { readonly cascade: boolean; readonly by: string }
    ) => Effect.Effect<Resource, ApiError.NotFound | ApiError.Conflict>
  }
>()("@agion/server/Resources") {
  static readonly layer = (): Layer.Layer<Resources, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Resources, make)
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const names = yield* Governance.Names
  const clock = yield* Clock.Clock
  const store = Store.make(sql)

  const tell = (
    resource: Resource,
    action: "created" | "updated" | "deleted",
    by: string | null | undefined,
    ids: ReadonlyArray<string>,
    what: { readonly [name: string]: unknown },
    also: ReadonlyArray<Resource> = []
  ) => {
    const now = clock.currentTimeMillisUnsafe()
    const changedBy = by ?? "unknown"
    return changes.record({
      organizationId: resource.organizationId,
      kind: "resource",
      ids,
      entries: [resource, ...also].map((one) =>
        Governance.resourceChanged(names, now, { resource: one, action, changedBy, changes: what })
      )
    })
  }

  const nameTaken = (resource: {
    readonly resourceType?: string
    readonly name?: string | null | undefined
  }) =>
    onViolation(
      "resources_name",
      () =>
        new ApiError.Conflict({
          message: `a resource named \`${resource.name}\` of this type exists already; choose another name`
        })
    )

  const create = (resource: CreateResource) =>
    store.insert(resource).pipe(
      Effect.tap((made) => tell(made, "created", resource.createdBy, [made.id], {})),
      sql.withTransaction,
      nameTaken(resource),
      onViolation("resources_organization_id_parent_resource_id_fkey", () =>
        missing(resource.parentResourceId)
      ),
      dying
    )

  const get = (id: ResourceId, organizationId: string | null) =>
    dying(
      Effect.flatMap(store.find(id, organizationId), (found) =>
        found === undefined ? Effect.fail(missing(id)) : Effect.succeed(found)
      )
    )

  const update = (id: ResourceId, organizationId: string | null, change: UpdateResource) =>
    Effect.gen(function* () {
      const before = yield* store.lock(id, organizationId)
      if (before === undefined) return yield* missing(id)
      const after = yield* store.update(id, change)
      if (after === undefined) return yield* missing(id)
      const tree = yield* store.tree(id)
      yield* tell(
        after,
        "updated",
        change.updatedBy,
        tree.map((one) => one.id),
        difference(before, after)
      )
      return after
    }).pipe(sql.withTransaction, nameTaken(change), dying)

  const remove: Resources["Service"]["remove"] = (id, organizationId, options) =>
    Effect.gen(function* () {
      const found = yield* store.lock(id, organizationId)
      if (found === undefined) return yield* missing(id)
      const [, ...below] = yield* store.tree(id)
      if (below.length > 0 && !options.cascade)
        return yield* new ApiError.Conflict({
          message: `resource \`${id}\` has ${below.length} below it; delete them first or say \`cascade=true\``
        })
      yield* store.remove(id)
      const ids = [id, ...below.map((one) => one.id)]
      yield* tell(found, "deleted", options.by, ids, {}, below)
      return found
    }).pipe(sql.withTransaction, dying)

  return Resources.of({
    create,
    get,
    list: (filter) => dying(store.list(filter)),
    children: (id) => dying(store.children(id)),
    update,
    remove
  })
})

const missing = (id: string | null | undefined) =>
  new ApiError.NotFound({ message: `there is no resource \`${id}\`` })

/** The fields that differ, with their new values, as the wire spells them. Values of `resource_data` stay out. */
const difference = (before: Resource, after: Resource): { readonly [name: string]: unknown } => {
  const changes: Record<string, unknown> = {}
  for (const name of [
    "name",
    "description",
    "trustTierRequired",
    "riskLevel",
    "status",
    "healthStatus",
    "healthMessage",
    "tags"
  ] as const)
    if (JSON.stringify(before[name]) !== JSON.stringify(after[name])) changes[spelled[name]] = after[name]
  if (JSON.stringify(before.resourceData) !== JSON.stringify(after.resourceData))
    changes["resource_data"] = true
  return changes
}

const spelled = {
  name: "name",
  description: "description",
  trustTierRequired: "trust_tier_required",
  riskLevel: "risk_level",
  status: "status",
  healthStatus: "health_status",
  healthMessage: "health_message",
  tags: "tags"
} as const
