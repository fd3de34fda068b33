/**
 * What an agent's key may not do: change what it is governed by. An operator's key may, and everybody may while
 * authentication is off.
 *
 * Routes that an agent may use for itself alone (its own permissions, its own record) are guarded where they are
 * handled, since that takes the row.
 */
import { ApiError } from "@agion/domain"
import type { CallerInfo } from "@agion/domain/api"
import { Effect } from "effect"

const operators: { readonly [group: string]: ReadonlyArray<string> } = {
  resources: ["create", "update", "remove"],
  policies: ["create", "update", "remove"],
  trust: ["evaluate"],
  agents: ["remove"],
  registry: [
    "createPrompt",
    "updatePrompt",
    "removePrompt",
    "createModel",
    "updateModel",
    "removeModel",
    "createResourceConfig",
    "updateResourceConfig",
    "removeResourceConfig"
  ],
  organizations: ["update", "createApiKey", "listApiKeys", "removeApiKey"]
}

/** Fails when a route is an operator's and the key is an agent's. */
export const mayUse = (
  caller: CallerInfo,
  group: string,
  endpoint: string
): Effect.Effect<void, ApiError.Forbidden> =>
  caller.agentId !== null && operators[group]?.includes(endpoint) === true
    ? Effect.fail(
        new ApiError.Forbidden({
          message: `the key belongs to agent \`${caller.agentId}\` and cannot do this; use an operator's key`
        })
      )
    : Effect.void
