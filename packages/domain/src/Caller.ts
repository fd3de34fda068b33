/** Who asks: the organization and actor that a key stands for, or nobody while authentication is off. */
import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { BadRequest, Forbidden, InternalError, PayloadTooLarge, Unauthorized } from "./ApiError.ts"

/** For whom a request speaks. */
export interface CallerInfo {
  /** Null: authentication is off, and the request says for whom it speaks. */
  readonly organizationId: string | null
  /** The agent that the key belongs to; null: an operator, or authentication is off. */
  readonly agentId: string | null
  /** The key that the request carries; null: authentication is off. */
  readonly keyId: string | null
}

/** The caller of the request that is being answered. */
export class Caller extends Context.Service<Caller, CallerInfo>()("@agion/domain/Caller") {}

/** Reads `Authorization: Bearer KEY` or `X-API-Key: KEY`. */
export class Authentication extends HttpApiMiddleware.Service<
  Authentication,
  { provides: Caller; requires: never }
>()("@agion/domain/Authentication", { error: [Unauthorized, Forbidden] }) {}

/** Gives every request that does not decode the contract's error body. */
export class ErrorBodies extends HttpApiMiddleware.Service<ErrorBodies>()("@agion/domain/ErrorBodies", {
  error: [BadRequest, PayloadTooLarge, InternalError]
}) {}
