/**
 * The routes of the platform: the contract's API from the handlers of its groups, and what stands beside it.
 *
 * A capability gives `XHttp.layer`, the handlers of its group; here they become one router.
 */
import { Api } from "@agion/domain/api"
import { Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import * as AuditHttp from "../audit/AuditHttp.ts"
import * as EventsHttp from "../events/EventsHttp.ts"
import * as FeedbackHttp from "../feedback/FeedbackHttp.ts"
import * as MissionsHttp from "../missions/MissionsHttp.ts"
import * as OrganizationsHttp from "../organizations/OrganizationsHttp.ts"
import * as PermissionsHttp from "../permissions/PermissionsHttp.ts"
import * as PoliciesHttp from "../policies/PoliciesHttp.ts"
import * as AgentsHttp from "../registry/AgentsHttp.ts"
import * as RegistryHttp from "../registry/RegistryHttp.ts"
import * as ResourcesHttp from "../resources/ResourcesHttp.ts"
import * as StreamHttp from "../stream/StreamHttp.ts"
import * as TrustHttp from "../trust/TrustHttp.ts"
import { errorBodies } from "./ErrorBody.ts"
import * as Health from "./Health.ts"

const groups = Layer.mergeAll(
  ResourcesHttp.layer,
  PermissionsHttp.layer,
  PoliciesHttp.layer,
  TrustHttp.layer,
  FeedbackHttp.layer,
  AuditHttp.layer,
  AgentsHttp.layer,
  RegistryHttp.layer,
  EventsHttp.layer,
  MissionsHttp.layer,
  OrganizationsHttp.layer
)

/** All routes with their handlers. */
export const routes = Layer.mergeAll(
  HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(Layer.provide(groups)),
  StreamHttp.layer,
  Health.layer,
  errorBodies
)
