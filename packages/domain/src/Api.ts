/**
 * The HTTP contract, `@agion/domain/api`: every route that the platform answers, with what it takes, gives and
 * refuses, and who asks.
 *
 * It stands beside the package's index, so that a program that imports the words does not load `effect/http-api`.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Agent, RegisterAgent, RotatedEventKey, RotateEventKey, UpdateAgent } from "./Agent.ts"
import { Conflict, Forbidden, NotFound, TooManyRequests, Unavailable, Unprocessable } from "./ApiError.ts"
import { ApiKey, ApiKeyList, CreateApiKey } from "./ApiKey.ts"
import { AuditEvent, AuditEventList, ComplianceReport, LogAuditEvent } from "./Audit.ts"
import { Authentication, ErrorBodies } from "./Caller.ts"
import {
  FeedbackAnswer,
  FeedbackList,
  FeedbackStatsAnswer,
  reviewStatuses,
  SubmitFeedback
} from "./Feedback.ts"
import { ActorId, MissionId, OrganizationId, PermissionId, ReservationId, ResourceId } from "./Id.ts"
import { IngestEvents, IngestResults } from "./Ingest.ts"
import {
  CreateMission,
  Mission,
  MissionMember,
  MissionMessage,
  MissionMessages,
  MissionState,
  PutMissionState,
  SendMissionMessage
} from "./Mission.ts"
import { Organization, UpdateOrganization } from "./Organization.ts"
import {
  ActivePermission,
  Amounts,
  Approve,
  actorTypes,
  CheckBatch,
  CheckBatchResult,
  CheckRequest,
  CheckResult,
  Deny,
  Permission,
  permissionStatuses,
  permissionTypes,
  ReportUsage,
  RequestPermission,
  ReserveRequest,
  ReserveResult,
  Revoke,
  UpdatePermission
} from "./Permission.ts"
import {
  CreatePolicy,
  EvaluatePolicy,
  EvaluatePolicyResult,
  GatewayPolicy,
  Policy,
  PolicyBundle,
  policyStatuses,
  policyTypes,
  UpdatePolicy
} from "./Policy.ts"
import {
  CreateModel,
  CreatePrompt,
  CreateResourceConfig,
  Model,
  Prompt,
  ResourceConfig,
  UpdateModel,
  UpdatePrompt,
  UpdateResourceConfig
} from "./Registry.ts"
import {
  CreateResource,
  healthStatuses,
  Resource,
  resourceStatuses,
  resourceTypes,
  riskLevels,
  UpdateResource
} from "./Resource.ts"
import { SigningKeys } from "./Signed.ts"
import { EvaluateTrust, TrustHistoryAnswer, TrustScoreAnswer } from "./Trust.ts"
import { Ledger, UsageSummary } from "./Usage.ts"
import * as Wire from "./Wire.ts"

export * from "./Caller.ts"

const maxOffset = 2_147_483_647
const limit = Schema.optional(Wire.queryInt(1, 1000))
const limit100 = Schema.optional(Wire.queryInt(1, 100))
const offset = Schema.optional(Wire.queryInt(0, maxOffset))
const text = Schema.optional(Wire.Text)
const created = <S extends Schema.Top>(schema: S) => schema.pipe(HttpApiSchema.status(201))
const page = { total: Schema.Int, limit: Schema.Int, offset: Schema.Int }

/** Resources and their hierarchy. */
export const ResourcesApi = HttpApiGroup.make("resources").add(
  HttpApiEndpoint.post("create", "/resources", {
    payload: CreateResource,
    success: created(Resource),
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.get("list", "/resources", {
    query: Wire.struct({
      organizationId: OrganizationId,
      resourceType: Schema.optional(Wire.queryEnum(resourceTypes)),
      status: Schema.optional(Wire.queryEnum(resourceStatuses)),
      healthStatus: Schema.optional(Wire.queryEnum(healthStatuses)),
      riskLevel: Schema.optional(Wire.queryEnum(riskLevels)),
      parentResourceId: Schema.optional(ResourceId),
      tags: Schema.optional(Wire.QueryList),
      complianceLabels: Schema.optional(Wire.QueryList),
      limit,
      offset
    }),
    success: Wire.struct({ resources: Schema.Array(Resource), ...page })
  }),
  HttpApiEndpoint.get("get", "/resources/:id", {
    params: { id: ResourceId },
    success: Resource,
    error: NotFound
  }),
  HttpApiEndpoint.get("children", "/resources/:id/children", {
    params: { id: ResourceId },
    success: Wire.struct({ children: Schema.Array(Resource), total: Schema.Int }),
    error: NotFound
  }),
  HttpApiEndpoint.put("update", "/resources/:id", {
    params: { id: ResourceId },
    payload: UpdateResource,
    success: Resource,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.delete("remove", "/resources/:id", {
    params: { id: ResourceId },
    query: Wire.struct({ cascade: Schema.optional(Wire.QueryBoolean) }),
    success: HttpApiSchema.NoContent,
    error: [NotFound, Conflict]
  })
)

/** Permissions: asking, granting, checking, using. */
export const PermissionsApi = HttpApiGroup.make("permissions").add(
  HttpApiEndpoint.post("request", "/permissions", {
    payload: RequestPermission,
    success: created(Permission),
    error: [NotFound, Conflict, Forbidden]
  }),
  HttpApiEndpoint.post("check", "/permissions/check", {
    payload: CheckRequest,
    success: CheckResult,
    error: [Forbidden, Unavailable]
  }),
  HttpApiEndpoint.post("checkBatch", "/permissions/check/batch", {
    payload: CheckBatch,
    success: CheckBatchResult,
    error: [Forbidden, Unavailable]
  }),
  HttpApiEndpoint.post("reserve", "/permissions/reserve", {
    payload: ReserveRequest,
    success: ReserveResult,
    error: [Forbidden, Conflict, Unavailable]
  }),
  HttpApiEndpoint.post("settle", "/permissions/reservations/:id/settle", {
    params: { id: ReservationId },
    payload: Amounts,
    success: HttpApiSchema.NoContent,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.post("release", "/permissions/reservations/:id/release", {
    params: { id: ReservationId },
    success: HttpApiSchema.NoContent,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.get("active", "/permissions/active", {
    query: Wire.struct({ actorId: ActorId, actorType: Schema.optional(Wire.queryEnum(actorTypes)) }),
    success: Wire.struct({ permissions: Schema.Array(ActivePermission), total: Schema.Int })
  }),
  HttpApiEndpoint.get("list", "/permissions", {
    query: Wire.struct({
      organizationId: Schema.optional(OrganizationId),
      actorId: Schema.optional(ActorId),
      actorType: Schema.optional(Wire.queryEnum(actorTypes)),
      resourceId: Schema.optional(ResourceId),
      permissionType: Schema.optional(Wire.queryEnum(permissionTypes)),
      status: Schema.optional(Wire.queryEnum(permissionStatuses)),
      limit,
      offset
    }),
    success: Wire.struct({ permissions: Schema.Array(Permission), ...page })
  }),
  HttpApiEndpoint.get("get", "/permissions/:id", {
    params: { id: PermissionId },
    success: Permission,
    error: NotFound
  }),
  HttpApiEndpoint.put("update", "/permissions/:id", {
    params: { id: PermissionId },
    payload: UpdatePermission,
    success: Permission,
    error: [NotFound, Conflict, Forbidden]
  }),
  HttpApiEndpoint.post("approve", "/permissions/:id/approve", {
    params: { id: PermissionId },
    payload: Approve,
    success: Permission,
    error: [NotFound, Conflict, Forbidden]
  }),
  HttpApiEndpoint.post("deny", "/permissions/:id/deny", {
    params: { id: PermissionId },
    payload: Deny,
    success: Permission,
    error: [NotFound, Conflict, Forbidden]
  }),
  HttpApiEndpoint.post("revoke", "/permissions/:id/revoke", {
    params: { id: PermissionId },
    payload: Revoke,
    success: Permission,
    error: [NotFound, Conflict, Forbidden]
  }),
  HttpApiEndpoint.post("usage", "/permissions/:id/usage", {
    params: { id: PermissionId },
    payload: ReportUsage,
    success: HttpApiSchema.NoContent,
    error: [NotFound]
  }),
  HttpApiEndpoint.get("ledger", "/permissions/:id/usage", {
    params: { id: PermissionId },
    query: Wire.struct({ limit, offset }),
    success: Ledger,
    error: NotFound
  })
)

const PolicyId = Wire.queryInt(1, 2_147_483_647)

/** Policies, and what a local engine loads. */
export const PoliciesApi = HttpApiGroup.make("policies").add(
  HttpApiEndpoint.get("list", "/policies", {
    query: Wire.struct({
      type: Schema.optional(Wire.queryEnum(policyTypes)),
      category: text,
      enabled: Schema.optional(Wire.QueryBoolean),
      organizationId: Schema.optional(OrganizationId),
      limit,
      offset
    }),
    success: Wire.struct({ policies: Schema.Array(Policy), total: Schema.Int })
  }),
  HttpApiEndpoint.post("create", "/policies", {
    payload: CreatePolicy,
    success: created(Policy),
    error: [Conflict, Forbidden, Unprocessable]
  }),
  HttpApiEndpoint.get("bundle", "/policies/bundle", {
    query: Wire.struct({
      organizationId: Schema.optional(OrganizationId),
      agentId: Schema.optional(ActorId)
    }),
    headers: { "if-none-match": Schema.optional(Schema.String) },
    success: [PolicyBundle, HttpApiSchema.Empty(304)]
  }),
  HttpApiEndpoint.get("get", "/policies/:id", { params: { id: PolicyId }, success: Policy, error: NotFound }),
  HttpApiEndpoint.put("update", "/policies/:id", {
    params: { id: PolicyId },
    payload: UpdatePolicy,
    success: Policy,
    error: [NotFound, Forbidden, Conflict, Unprocessable]
  }),
  HttpApiEndpoint.delete("remove", "/policies/:id", {
    params: { id: PolicyId },
    success: HttpApiSchema.NoContent,
    error: [NotFound, Forbidden]
  }),
  HttpApiEndpoint.post("evaluate", "/policies/:id/evaluate", {
    params: { id: PolicyId },
    payload: EvaluatePolicy,
    success: EvaluatePolicyResult,
    error: NotFound
  })
)

const entityType = Schema.optional(Wire.queryEnum(actorTypes))

/** Scores, their history, and an operator's changes of them. */
export const TrustApi = HttpApiGroup.make("trust").add(
  HttpApiEndpoint.post("evaluate", "/trust/evaluate", { payload: EvaluateTrust, success: TrustScoreAnswer }),
  HttpApiEndpoint.get("score", "/trust/score/:entityId", {
    params: { entityId: ActorId },
    query: Wire.struct({ entityType, organizationId: Schema.optional(OrganizationId) }),
    success: TrustScoreAnswer,
    error: NotFound
  }),
  HttpApiEndpoint.get("history", "/trust/history/:entityId", {
    params: { entityId: ActorId },
    query: Wire.struct({ entityType, organizationId: Schema.optional(OrganizationId), limit }),
    success: TrustHistoryAnswer,
    error: NotFound
  })
)

/** What people say of answers. */
export const FeedbackApi = HttpApiGroup.make("feedback").add(
  HttpApiEndpoint.post("submit", "/feedback/submit", { payload: SubmitFeedback, success: FeedbackAnswer }),
  HttpApiEndpoint.get("stats", "/feedback/agent/:agentId/stats", {
    params: { agentId: ActorId },
    query: Wire.struct({
      days: Schema.optional(Wire.queryInt(1, 36_500)),
      organizationId: Schema.optional(OrganizationId)
    }),
    success: FeedbackStatsAnswer
  }),
  HttpApiEndpoint.get("get", "/feedback/:id", {
    params: { id: Wire.Name },
    success: FeedbackAnswer,
    error: NotFound
  }),
  HttpApiEndpoint.get("list", "/feedback", {
    query: Wire.struct({
      agentId: Schema.optional(ActorId),
      userId: text,
      organizationId: Schema.optional(OrganizationId),
      reviewStatus: Schema.optional(Wire.queryEnum(reviewStatuses)),
      minStarRating: Schema.optional(Wire.queryInt(1, 5)),
      maxStarRating: Schema.optional(Wire.queryInt(1, 5)),
      limit: limit100,
      offset
    }),
    success: FeedbackList
  })
)

/** What happened. */
export const AuditApi = HttpApiGroup.make("audit").add(
  HttpApiEndpoint.post("log", "/audit/events", { payload: LogAuditEvent, success: created(AuditEvent) }),
  HttpApiEndpoint.get("list", "/audit/events", {
    query: Wire.struct({
      organizationId: Schema.optional(OrganizationId),
      entityId: text,
      entityType: text,
      eventType: text,
      decision: text,
      from: Schema.optional(Wire.Timestamp),
      to: Schema.optional(Wire.Timestamp),
      limit,
      offset
    }),
    success: AuditEventList
  }),
  HttpApiEndpoint.get("compliance", "/audit/compliance/:entityId", {
    params: { entityId: Wire.Name },
    query: Wire.struct({
      organizationId: Schema.optional(OrganizationId),
      days: Schema.optional(Wire.queryInt(1, 36_500))
    }),
    success: ComplianceReport
  })
)

const organizationQuery = Wire.struct({ organizationId: Schema.optional(OrganizationId) })

/** The registry of agents. */
export const AgentsApi = HttpApiGroup.make("agents").add(
  HttpApiEndpoint.post("register", "/agents/register", { payload: RegisterAgent, success: Agent }),
  HttpApiEndpoint.get("list", "/agents", {
    query: Wire.struct({ organizationId: Schema.optional(OrganizationId), status: text, limit, offset }),
    success: Wire.struct({ agents: Schema.Array(Agent), ...page })
  }),
  HttpApiEndpoint.get("get", "/agents/:agentId", {
    params: { agentId: ActorId },
    success: Agent,
    error: NotFound
  }),
  HttpApiEndpoint.put("update", "/agents/:agentId", {
    params: { agentId: ActorId },
    payload: UpdateAgent,
    success: Agent,
    error: [NotFound, Forbidden]
  }),
  HttpApiEndpoint.delete("remove", "/agents/:agentId", {
    params: { agentId: ActorId },
    success: HttpApiSchema.NoContent,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.post("rotateEventKey", "/agents/:agentId/event-key/rotate", {
    params: { agentId: ActorId },
    payload: RotateEventKey,
    success: RotatedEventKey,
    error: [NotFound, Forbidden]
  })
)

const RowId = Wire.Name

/** What agents look up by purpose. */
export const RegistryApi = HttpApiGroup.make("registry").add(
  HttpApiEndpoint.get("promptByLocation", "/prompts/by-location/:location", {
    params: { location: Wire.Name },
    query: organizationQuery,
    success: Prompt,
    error: NotFound
  }),
  HttpApiEndpoint.post("createPrompt", "/prompts", {
    payload: CreatePrompt,
    success: created(Prompt),
    error: Conflict
  }),
  HttpApiEndpoint.get("listPrompts", "/prompts", {
    query: Wire.struct({ organizationId: Schema.optional(OrganizationId), limit, offset }),
    success: Wire.struct({ prompts: Schema.Array(Prompt), ...page })
  }),
  HttpApiEndpoint.put("updatePrompt", "/prompts/:id", {
    params: { id: RowId },
    payload: UpdatePrompt,
    success: Prompt,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.delete("removePrompt", "/prompts/:id", {
    params: { id: RowId },
    success: HttpApiSchema.NoContent,
    error: NotFound
  }),
  HttpApiEndpoint.get("modelByPurpose", "/models/by-purpose/:purpose", {
    params: { purpose: Wire.Name },
    query: organizationQuery,
    success: Model,
    error: NotFound
  }),
  HttpApiEndpoint.post("createModel", "/models", {
    payload: CreateModel,
    success: created(Model),
    error: Conflict
  }),
  HttpApiEndpoint.get("listModels", "/models", {
    query: Wire.struct({ organizationId: Schema.optional(OrganizationId), limit, offset }),
    success: Wire.struct({ models: Schema.Array(Model), ...page })
  }),
  HttpApiEndpoint.put("updateModel", "/models/:id", {
    params: { id: RowId },
    payload: UpdateModel,
    success: Model,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.delete("removeModel", "/models/:id", {
    params: { id: RowId },
    success: HttpApiSchema.NoContent,
    error: NotFound
  }),
  HttpApiEndpoint.get("resourceByName", "/resources/by-name/:name", {
    params: { name: Wire.Name },
    query: organizationQuery,
    success: ResourceConfig,
    error: NotFound
  }),
  HttpApiEndpoint.post("createResourceConfig", "/resource-configs", {
    payload: CreateResourceConfig,
    success: created(ResourceConfig),
    error: Conflict
  }),
  HttpApiEndpoint.get("listResourceConfigs", "/resource-configs", {
    query: Wire.struct({ organizationId: Schema.optional(OrganizationId), limit, offset }),
    success: Wire.struct({ resourceConfigs: Schema.Array(ResourceConfig), ...page })
  }),
  HttpApiEndpoint.put("updateResourceConfig", "/resource-configs/:id", {
    params: { id: RowId },
    payload: UpdateResourceConfig,
    success: ResourceConfig,
    error: [NotFound, Conflict]
  }),
  HttpApiEndpoint.delete("removeResourceConfig", "/resource-configs/:id", {
    params: { id: RowId },
    success: HttpApiSchema.NoContent,
    error: NotFound
  }),
  HttpApiEndpoint.get("gatewayPolicies", "/governance/policies", {
    query: Wire.struct({
      agentId: Schema.optional(ActorId),
      status: Schema.optional(Wire.queryEnum(policyStatuses)),
      organizationId: Schema.optional(OrganizationId)
    }),
    success: Wire.struct({ policies: Schema.Array(GatewayPolicy) })
  })
)

/** Events and pushes for agents without Redis. */
export const EventsApi = HttpApiGroup.make("events").add(
  HttpApiEndpoint.post("ingest", "/events", {
    payload: IngestEvents,
    success: IngestResults,
    error: TooManyRequests
  })
)

/** Missions for agents without Redis. */
export const MissionsApi = HttpApiGroup.make("missions").add(
  HttpApiEndpoint.post("create", "/missions", {
    payload: CreateMission,
    success: created(Mission),
    error: Conflict
  }),
  HttpApiEndpoint.get("get", "/missions/:id", {
    params: { id: MissionId },
    success: Mission,
    error: NotFound
  }),
  HttpApiEndpoint.post("join", "/missions/:id/join", {
    params: { id: MissionId },
    payload: MissionMember,
    success: Mission
  }),
  HttpApiEndpoint.post("leave", "/missions/:id/leave", {
    params: { id: MissionId },
    payload: MissionMember,
    success: HttpApiSchema.NoContent,
    error: NotFound
  }),
  HttpApiEndpoint.post("heartbeat", "/missions/:id/heartbeat", {
    params: { id: MissionId },
    payload: MissionMember,
    success: HttpApiSchema.NoContent,
    error: NotFound
  }),
  HttpApiEndpoint.post("send", "/missions/:id/messages", {
    params: { id: MissionId },
    payload: SendMissionMessage,
    success: created(MissionMessage),
    error: [Forbidden, NotFound, Conflict]
  }),
  HttpApiEndpoint.get("messages", "/missions/:id/messages", {
    params: { id: MissionId },
    query: Wire.struct({
      after: Schema.optional(Wire.queryInt(0, Number.MAX_SAFE_INTEGER)),
      participantId: text,
      limit
    }),
    success: MissionMessages,
    error: NotFound
  }),
  HttpApiEndpoint.get("state", "/missions/:id/state", {
    params: { id: MissionId },
    success: MissionState,
    error: NotFound
  }),
  HttpApiEndpoint.put("putState", "/missions/:id/state", {
    params: { id: MissionId },
    payload: PutMissionState,
    success: MissionState,
    error: [Forbidden, NotFound, Conflict]
  })
)

/** Settings of organizations, what they used, the keys that speak for them. */
export const OrganizationsApi = HttpApiGroup.make("organizations").add(
  HttpApiEndpoint.get("get", "/organizations/:id", {
    params: { id: OrganizationId },
    success: Organization,
    error: NotFound
  }),
  HttpApiEndpoint.put("update", "/organizations/:id", {
    params: { id: OrganizationId },
    payload: UpdateOrganization,
    success: Organization,
    error: [Forbidden, NotFound]
  }),
  // Sums of the ledger and of conversations with models, side by side: see `UsageRow`.
  HttpApiEndpoint.get("usage", "/usage/summary", {
    query: Wire.struct({
      organizationId: Schema.optional(OrganizationId),
      by: Schema.optional(Wire.QueryList),
      from: Schema.optional(Wire.Timestamp),
      to: Schema.optional(Wire.Timestamp)
    }),
    success: UsageSummary
  }),
  HttpApiEndpoint.post("createApiKey", "/api-keys", {
    payload: CreateApiKey,
    success: created(ApiKey),
    error: Forbidden
  }),
  HttpApiEndpoint.get("listApiKeys", "/api-keys", {
    query: organizationQuery,
    success: ApiKeyList,
    error: Forbidden
  }),
  HttpApiEndpoint.delete("removeApiKey", "/api-keys/:id", {
    params: { id: RowId },
    success: HttpApiSchema.NoContent,
    error: [NotFound, Forbidden]
  }),
  HttpApiEndpoint.get("signingKeys", "/signing-keys", { success: SigningKeys })
)

/** Every route under `/api/v1`. `GET /stream`, `/health` and `/ready` stand beside it on the same router. */
export class Api extends HttpApi.make("agion")
  .add(ResourcesApi)
  .add(PermissionsApi)
  .add(PoliciesApi)
  .add(TrustApi)
  .add(FeedbackApi)
  .add(AuditApi)
  .add(AgentsApi)
  .add(RegistryApi)
  .add(EventsApi)
  .add(MissionsApi)
  .add(OrganizationsApi)
  .middleware(Authentication)
  .middleware(ErrorBodies)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Agion", version: "1" })) {}
