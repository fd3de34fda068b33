/**
 * The routes of the platform: the contract's API from the handlers of its groups, and what stands beside it.
 *
 * A capability gives `XHttp.layer`, the handlers of its group; here they become one router.
 */
import { Authentication, ErrorBodies, PermissionsApi, PoliciesApi, ResourcesApi } from "@agion/domain"
import { Layer } from "effect"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import * as PermissionsHttp from "../permissions/PermissionsHttp.ts"
import * as PoliciesHttp from "../policies/PoliciesHttp.ts"
import * as ResourcesHttp from "../resources/ResourcesHttp.ts"
import { errorBodies } from "./ErrorBody.ts"
import * as Health from "./Health.ts"

class Api extends HttpApi.make("agion")
  .add(ResourcesApi)
  .add(PermissionsApi)
  .add(PoliciesApi)
  .middleware(Authentication)
  .middleware(ErrorBodies)
  .prefix("/api/v1") {}

/** All routes with their handlers. */
export const routes = Layer.mergeAll(
  HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide([ResourcesHttp.layer, PermissionsHttp.layer, PoliciesHttp.layer])
  ),
  Health.layer,
  errorBodies
)
