/**
 * The contract's client, made once a process: its codecs weigh more than an agent does, and programs run thousands.
 *
 * It calls through the `Line` of whoever calls.
 */
import { Api } from "@agion/domain/api"
import { Context, Effect } from "effect"
import { HttpClient, type HttpClientError } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import type { GovernanceApi, PlatformRefused, PlatformUnavailable } from "../GovernanceHttp.ts"

type Failure = HttpClientError.HttpClientError | PlatformUnavailable | PlatformRefused

/** An agent's client: its address and key, its breaker. */
export type AgentClient = HttpClient.HttpClient.With<Failure>

/** The client of the agent that calls. */
export const Line = Context.Reference<AgentClient | null>("@agion/sdk/Line", { defaultValue: () => null })

const throughLine: AgentClient = HttpClient.makeWith<Failure, never, Failure, never>(
  (asking) =>
    Effect.flatMap(asking, (request) =>
      Effect.flatMap(Line, (client) =>
        client === null ? Effect.die(new Error("a call without an agent's client")) : client.execute(request)
      )
    ),
  Effect.succeed
)

/** The methods of the contract; whoever runs one provides its `Line`. */
export const contract: Effect.Effect<GovernanceApi> = Effect.runSync(
  Effect.cached(Effect.suspend(() => HttpApiClient.makeWith(Api, { httpClient: throughLine })))
)
