/**
 * The routes of the platform: the contract's API from the handlers of its groups, and what stands beside it.
 *
 * A capability gives `XHttp.layer`, the handlers of its group; here they become one router.
 */
import { Api } from "@agion/domain"
import { Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { errorBodies } from "./ErrorBody.ts"
import * as Health from "./Health.ts"

/** All routes, still wanting the groups' handlers. */
export const routes = Layer.mergeAll(
  HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }),
  Health.layer,
  errorBodies
)
