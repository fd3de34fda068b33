/** Organizations and their settings. A change of settings drops everything that was decided by them. */
import {
  ApiError,
  type Organization,
  Retention,
  TrustModelSettings,
  type UpdateOrganization
} from "@agion/domain"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { json } from "../sql/Database.ts"
import { dying } from "../sql/Failure.ts"
import * as TimeZones from "./TimeZones.ts"

export class Organizations extends Context.Service<
  Organizations,
  {
    readonly get: (id: string) => Effect.Effect<Organization, ApiError.NotFound>
    /** Makes the organization where there is none; refuses a time zone that the database does not know. */
    readonly update: (
      id: string,
      change: UpdateOrganization
    ) => Effect.Effect<Organization, ApiError.BadRequest | ApiError.NotFound>
  }
>()("@agion/server/Organizations") {
  static readonly layer = (): Layer.Layer<Organizations, never, SqlClient.SqlClient | Changes> =>
    Layer.effect(Organizations, make)
}

interface OrganizationRow {
  readonly id: string
  readonly name: string
  readonly time_zone: string
  readonly trust_model: unknown
  readonly enforcement: Organization["enforcement"]
  readonly event_signature: Organization["eventSignature"]
  readonly llm_content: Organization["llmContent"]
  readonly budget_limit_micro: number | null
  readonly retention: unknown
  readonly created_at: Date
  readonly updated_at: Date
}

const columns = `
  id, name, time_zone, trust_model, enforcement, event_signature, llm_content, budget_limit_micro,
  retention, created_at, updated_at`

const decodeModel = Schema.decodeUnknownSync(TrustModelSettings)
const encodeModel = Schema.encodeSync(TrustModelSettings)

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)

  const one = (id: string) => (rows: ReadonlyArray<OrganizationRow>) =>
    rows[0] === undefined
      ? Effect.fail(new ApiError.NotFound({ message: `there is no organization \`${id}\`` }))
      : Effect.succeed(toOrganization(rows[0]))

  return Organizations.of({
    get: (id) =>
      dying(
        Effect.flatMap(
          sql<OrganizationRow>`SELECT ${sql.literal(columns)} FROM organizations WHERE id = ${id}`,
          one(id)
        )
      ),
    update: (id, change) =>
      Effect.gen(function* () {
        if (change.timeZone != null) yield* withSql(TimeZones.ensureKnown(change.timeZone))
        yield* changes.record({ organizationId: id, kind: "organization", ids: [] })
        const budget = change.budgetLimit == null ? null : Math.round(change.budgetLimit * 1e6)
        const model = change.trustModel == null ? null : json(encodeModel(change.trustModel))
        const rows = yield* sql<OrganizationRow>`
          UPDATE organizations SET
            name = coalesce(${change.name ?? null}, name),
            time_zone = coalesce(${change.timeZone ?? null}, time_zone),
            trust_model = coalesce(${model}::jsonb, trust_model),
            enforcement = coalesce(${change.enforcement ?? null}, enforcement),
            event_signature = coalesce(${change.eventSignature ?? null}, event_signature),
            llm_content = coalesce(${change.llmContent ?? null}, llm_content),
            budget_limit_micro = CASE WHEN ${change.budgetLimit === undefined} THEN budget_limit_micro ELSE ${budget}::int8 END,
            retention = coalesce(${change.retention == null ? null : json(change.retention)}::jsonb, retention),
            updated_at = now()
          WHERE id = ${id} RETURNING ${sql.literal(columns)}`
        return yield* one(id)(rows)
      }).pipe(sql.withTransaction, dying)
  })
})

const decodeKept = Schema.decodeUnknownOption(Retention)

const toOrganization = (row: OrganizationRow): Organization => ({
  id: row.id as Organization["id"],
  name: row.name,
  timeZone: row.time_zone,
  trustModel: decodeModel(row.trust_model),
  enforcement: row.enforcement,
  eventSignature: row.event_signature,
  llmContent: row.llm_content,
  budgetLimit: row.budget_limit_micro === null ? null : row.budget_limit_micro / 1e6,
  // What was stored before there were kinds says nothing.
  retention: Option.getOrElse(decodeKept(row.retention), () => ({})),
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString()
})
