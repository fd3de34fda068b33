/**
 * Who may use what: permissions and their moves. The state machine is the contract's (`mayMove` of the domain);
 * each move locks its row, raises the organization's epoch and goes to `governance-events`, in one transaction.
 */
import {
  type ActivePermission,
  type ActorType,
  ApiError,
  type Approve,
  type Constraints,
  type Deny,
  mayMove,
  narrows,
  type Permission,
  type PermissionId,
  type PermissionStatus,
  type RequestPermission,
  type Revoke,
  type UpdatePermission
} from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import * as Governance from "../changes/Governance.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { dying, onViolation } from "../sql/Failure.ts"
import type { Page } from "../sql/page.ts"
import * as TrustSql from "../trust/TrustSql.ts"
import * as Store from "./PermissionsSql.ts"

type Refused = ApiError.NotFound | ApiError.Conflict | ApiError.Forbidden

/** Suspends what an actor may use (TRUST-10). */
export interface SuspendActor {
  readonly organizationId: string
  readonly actorId: string
  readonly actorType: ActorType
  readonly by: string
  readonly reason: string
}

export class Permissions extends Context.Service<
  Permissions,
  {
    /** Asks for a permission of a resource; what was denied or revoked is opened again. */
    readonly request: (caller: CallerInfo, request: RequestPermission) => Effect.Effect<Store.Owned, Refused>
    readonly get: (
      id: PermissionId,
      organizationId: string | null
    ) => Effect.Effect<Store.Owned, ApiError.NotFound>
    readonly list: (filter: Store.PermissionFilter) => Effect.Effect<Page<Permission>>
    readonly active: (
      actorId: string,
      actorType: string | null,
      organizationId: string | null
    ) => Effect.Effect<ReadonlyArray<ActivePermission>>
    readonly update: (
      caller: CallerInfo,
      id: PermissionId,
      change: UpdatePermission
    ) => Effect.Effect<Store.Owned, Refused>
    readonly approve: (
      caller: CallerInfo,
      id: PermissionId,
      approval: typeof Approve.Type
    ) => Effect.Effect<Store.Owned, Refused>
    readonly deny: (
      caller: CallerInfo,
      id: PermissionId,
      denial: typeof Deny.Type
    ) => Effect.Effect<Store.Owned, Refused>
    readonly revoke: (
      caller: CallerInfo,
      id: PermissionId,
      revocation: typeof Revoke.Type
    ) => Effect.Effect<Store.Owned, Refused>
    /** Suspends all approved permissions of an actor, inside the caller's transaction; answers their ids. */
    readonly suspendActor: (suspend: SuspendActor) => Effect.Effect<ReadonlyArray<string>, SqlError.SqlError>
  }
>()("@agion/server/Permissions") {
  static readonly layer = (): Layer.Layer<Permissions, never, SqlClient.SqlClient | Changes | Tenancy> =>
    Layer.effect(Permissions, make)
}

/** A move: where to, who, why, and what it changes beside the status. */
interface Step {
  readonly to: PermissionStatus
  readonly by: string
  readonly reason: string
  readonly change: Store.Move
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const tenancy = yield* Tenancy
  const names = yield* Governance.Names
  const clock = yield* Clock.Clock
  const store = Store.make(sql)

  const tell = (
    organizationId: string,
    moved: ReadonlyArray<Permission>,
    what: { readonly oldStatus: string; readonly by: string; readonly reason: string } | undefined
  ) => {
    const now = clock.currentTimeMillisUnsafe()
    return changes.record({
      organizationId,
      kind: "permission",
      ids: moved.flatMap((permission) => [permission.id, permission.actorId, permission.resourceId]),
      entries:
        what === undefined
          ? []
          : moved.map((permission) =>
              Governance.permissionChanged(names, now, {
                organizationId,
                permission,
                oldStatus: what.oldStatus,
                changedBy: what.by,
                reason: what.reason
              })
            )
    })
  }

  const request = Effect.fnUntraced(
    function* (caller: CallerInfo, asked: RequestPermission) {
      yield* onlyForItself(caller, asked.actorId, "requests for itself only")
      const organizationId = yield* organizationOf(sql, asked.resourceId, caller)
      const existing = yield* store.lockGrant(asked)
      const permission = yield* existing === undefined
        ? store.insert(organizationId, asked)
        : reopen(store, existing.permission, asked)
      // As a registration does: first whose the actor is, then its score.
      if (caller.organizationId === null) yield* tenancy.note(asked.actorId, organizationId)
      yield* Effect.provideService(
        TrustSql.ensureScores([{ organizationId, entityType: asked.actorType, entityId: asked.actorId }]),
        SqlClient.SqlClient,
        sql
      )
      yield* tell(organizationId, [permission], {
        oldStatus: existing?.permission.status ?? "",
        by: asked.requestedBy ?? asked.actorId,
        reason: asked.purpose
      })
      return { organizationId, permission }
    },
    sql.withTransaction,
    onViolation("permissions_grant", () => conflict("this permission was requested a moment ago")),
    onViolation(
      "permissions_organization_id_resource_id_fkey",
      () => new ApiError.NotFound({ message: "the resource was deleted meanwhile" })
    ),
    dying
  )

  /** Locks a permission of the caller's organization and takes a step with it. */
  const step = (
    caller: CallerInfo,
    id: PermissionId,
    plan: (permission: Permission) => Effect.Effect<Step, Refused>
  ) =>
    Effect.gen(function* () {
      const found = yield* store.lock(id, caller.organizationId)
      if (found === undefined) return yield* missing(id)
      const { to, by, reason, change } = yield* plan(found.permission)
      const { status } = found.permission
      if (to !== status && !mayMove(status, to)) return yield* cannotMove(id, status, to)
      const permission = yield* store.move(id, change)
      if (permission === undefined) return yield* missing(id)
      const moved = to === status ? undefined : { oldStatus: status, by, reason }
      yield* tell(found.organizationId, [permission], moved)
      return { organizationId: found.organizationId, permission }
    }).pipe(sql.withTransaction, dying)

  return Permissions.of({
    request,
    get: (id, organizationId) =>
      dying(
        Effect.flatMap(store.find(id, organizationId), (found) =>
          found === undefined ? Effect.fail(missing(id)) : Effect.succeed(found)
        )
      ),
    list: (filter) => dying(store.list(filter)),
    active: (actorId, actorType, organizationId) => dying(store.active(actorId, actorType, organizationId)),
    update: (caller, id, change) => step(caller, id, (permission) => planUpdate(caller, permission, change)),
    approve: (caller, id, approval) =>
      step(caller, id, (permission) => planApproval(caller, permission, approval)),
    deny: (caller, id, denial) =>
      step(caller, id, (permission) => planDenial(caller, permission, denial.deniedBy, denial.reason)),
    revoke: (caller, id, revocation) =>
      step(caller, id, (permission) =>
        planRevocation(caller, permission, revocation.revokedBy, revocation.reason)
      ),
    suspendActor: Effect.fnUntraced(function* (suspend) {
      const approved = yield* store.lockApproved(suspend.organizationId, suspend.actorId, suspend.actorType)
      const moved: Array<Permission> = []
      for (const { id } of approved) {
        const ending = { by: suspend.by, reason: suspend.reason }
        const permission = yield* store.move(id, { status: "suspended", ending })
        if (permission !== undefined) moved.push(permission)
      }
      if (moved.length > 0)
        yield* tell(suspend.organizationId, moved, {
          oldStatus: "approved",
          by: suspend.by,
          reason: suspend.reason
        })
      return moved.map((permission) => permission.id)
    })
  })
})

const reopen = Effect.fnUntraced(function* (
  store: Store.PermissionsSql,
  existing: Permission,
  request: RequestPermission
) {
  if (!mayMove(existing.status, "pending"))
    return yield* conflict(`permission \`${existing.id}\` is ${existing.status} already; use it or change it`)
  const opened = yield* store.reopen(existing.id, request)
  return opened ?? (yield* missing(existing.id))
})

/** A permission belongs where its resource does. */
const organizationOf = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  resourceId: string,
  caller: CallerInfo
) {
  const [row] = yield* sql<{ organization_id: string }>`
    SELECT organization_id FROM resources WHERE id = ${resourceId}
      AND (${caller.organizationId}::text IS NULL OR organization_id = ${caller.organizationId})`
  if (row === undefined)
    return yield* new ApiError.NotFound({ message: `there is no resource \`${resourceId}\`` })
  return row.organization_id
})

/** A name as people read it: its case, its width, spaces around it and characters that do not show make no other. */
const asRead = (name: string): string =>
  name
    .normalize("NFKC")
    .replace(/\s+/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, "")
    .trim()
    .toLowerCase()

/** LIMIT-5 is not got round by another spelling of one's own name. */
const isSame = (by: string, other: string | null): boolean => other !== null && asRead(by) === asRead(other)

const planApproval = (
  caller: CallerInfo,
  permission: Permission,
  approval: typeof Approve.Type
): Effect.Effect<Step, Refused> => {
  const by = approval.approvedBy
  if (caller.agentId !== null)
    return Effect.fail(forbidden("an agent's key cannot approve; use an operator's"))
  if (permission.status !== "pending" && permission.status !== "suspended")
    return Effect.fail(cannotMove(permission.id, permission.status, "approved"))
  if (isSame(by, permission.requestedBy) || isSame(by, permission.actorId))
    return Effect.fail(forbidden(`\`${by}\` requested this permission; somebody else must approve it`))
  const notes = approval.notes ?? null
  const change: Store.Move = { status: "approved", approval: { by, notes } }
  return Effect.succeed({ to: "approved", by, reason: notes ?? "", change })
}

const planDenial = (
  caller: CallerInfo,
  permission: Permission,
  by: string | null,
  reason: string | null
): Effect.Effect<Step, Refused> => {
  if (caller.agentId !== null) return Effect.fail(forbidden("an agent's key cannot deny; use an operator's"))
  if (permission.status !== "pending")
    return Effect.fail(cannotMove(permission.id, permission.status, "denied"))
  const change: Store.Move = { status: "denied", ending: { by, reason } }
  return Effect.succeed({ to: "denied", by: by ?? "unknown", reason: reason ?? "", change })
}

const planRevocation = (
  caller: CallerInfo,
  permission: Permission,
  by: string | null,
  reason: string | null
): Effect.Effect<Step, Refused> =>
  Effect.andThen(
    onlyForItself(caller, permission.actorId, "gives back its own permissions only"),
    permission.status === "revoked"
      ? Effect.fail(cannotMove(permission.id, "revoked", "revoked"))
      : Effect.succeed<Step>({
          to: "revoked",
          by: by ?? "unknown",
          reason: reason ?? "",
          change: { status: "revoked", ending: { by, reason } }
        })
  )

const planUpdate = Effect.fnUntraced(function* (
  caller: CallerInfo,
  permission: Permission,
  change: UpdatePermission
) {
  yield* onlyForItself(caller, permission.actorId, "changes its own permissions only")
  const constraints = change.constraints ?? undefined
  if (constraints !== undefined) yield* mayConstrain(caller, permission, constraints)
  const by = change.revokedBy ?? null
  const reason = change.revocationReason ?? null
  const step =
    change.status == null
      ? stayed(permission.status, by, reason)
      : yield* planStatus(caller, permission, change.status, by, reason)
  return constraints === undefined ? step : { ...step, change: { ...step.change, constraints } }
})

const stayed = (to: PermissionStatus, by: string | null, reason: string | null): Step => ({
  to,
  by: by ?? "unknown",
  reason: reason ?? "",
  change: {}
})

const planStatus = (
  caller: CallerInfo,
  permission: Permission,
  to: PermissionStatus,
  by: string | null,
  reason: string | null
): Effect.Effect<Step, Refused> => {
  if (to === permission.status) return Effect.fail(cannotMove(permission.id, to, to))
  switch (to) {
    case "denied":
      return planDenial(caller, permission, by, reason)
    case "revoked":
      return planRevocation(caller, permission, by, reason)
    case "suspended": {
      if (caller.agentId !== null) return Effect.fail(forbidden("an agent's key cannot suspend"))
      const change: Store.Move = { status: "suspended", ending: { by, reason } }
      return Effect.succeed({ to, by: by ?? "unknown", reason: reason ?? "", change })
    }
    default:
      return Effect.fail(
        conflict(
          `a permission becomes ${to} by ${to === "approved" ? "approving" : "requesting"} it, not by PUT`
        )
      )
  }
}

const mayConstrain = (caller: CallerInfo, permission: Permission, next: Constraints) => {
  if (caller.agentId === null) return Effect.void
  return narrows(permission.constraints, next)
    ? Effect.void
    : Effect.fail(forbidden("an agent may only narrow its own constraints; an approver may widen them"))
}

const onlyForItself = (caller: CallerInfo, actorId: string, rule: string) =>
  caller.agentId === null || caller.agentId === actorId
    ? Effect.void
    : Effect.fail(forbidden(`an agent's key ${rule}; this is about \`${actorId}\``))

const missing = (id: string) => new ApiError.NotFound({ message: `there is no permission \`${id}\`` })

const conflict = (message: string) => new ApiError.Conflict({ message })

const forbidden = (message: string) => new ApiError.Forbidden({ message })

const cannotMove = (id: string, from: PermissionStatus, to: PermissionStatus) =>
  conflict(`permission \`${id}\` is ${from} and cannot become ${to}`)
