/**
 * How the SDK fares: one value with every part's state, and an address for an agent's own pod.
 *
 * ```ts
 * AgionSdk.layer(options).pipe(Layer.provideMerge(Health.layerHttp({ port: 9090 })))
 * ```
 */
import { Context, Effect, Layer } from "effect"
import { EventBuffer, type EventHealth } from "./EventBuffer.ts"
import { FailurePolicy } from "./FailurePolicy.ts"
import { PlatformCircuit } from "./HttpPool.ts"
import { type CacheStatistics, PermissionCache } from "./PermissionCache.ts"
import { PlatformKeys, type PlatformKeysState } from "./PlatformKeys.ts"
import { PolicySync, type PolicySyncState } from "./PolicySync.ts"
import { Pushes, type PushLine } from "./Pushes.ts"
import { Registrar, type RegistrarState } from "./Registrar.ts"
import { Settings } from "./Settings.ts"
import { SharedCache, type SharedStatistics } from "./SharedCache.ts"
import { TrustTracker, type TrustView } from "./TrustTracker.ts"

/** Every part's state. */
export interface HealthReport {
  /** `degraded`: something is away and calls go on by what is held; `ok`: nothing is. */
  readonly status: "ok" | "degraded"
  /** What is wrong, one line each; empty when nothing is. */
  readonly problems: ReadonlyArray<string>
  /** The agent has been registered and has policies: it can be sent work. */
  readonly ready: boolean
  readonly agentId: string
  readonly organizationId: string
  readonly governance: boolean
  readonly enforcement: "enforce" | "observe"
  readonly failurePolicy: string
  /** The breaker around the platform: `closed` when it is reachable as far as is known. */
  readonly platform: string
  readonly pushes: PushLine
  readonly policies: PolicySyncState
  readonly keys: PlatformKeysState
  readonly registration: RegistrarState
  readonly events: EventHealth
  readonly permissions: CacheStatistics
  /** What was read of what the platform signed for all agents. */
  readonly shared: SharedStatistics
  readonly trust: TrustView
}

/** The state of everything. */
export class Health extends Context.Service<
  Health,
  {
    /** What every part says of itself, as it is run; nothing is asked for. */
    readonly now: Effect.Effect<HealthReport>
  }
>()("@agion/sdk/Health") {
  /** Reads the parts; asks nobody. */
  static readonly layer: Layer.Layer<
    Health,
    never,
    | Settings
    | Pushes
    | PolicySync
    | PlatformKeys
    | Registrar
    | EventBuffer
    | PermissionCache
    | SharedCache
    | TrustTracker
  > = Layer.suspend(() => Layer.effect(Health, make))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make: Effect.Effect<
    Health["Service"],
    never,
    | Settings
    | Pushes
    | PolicySync
    | PlatformKeys
    | Registrar
    | EventBuffer
    | PermissionCache
    | SharedCache
    | TrustTracker
  > = Effect.suspend(() => make)

  /** `GET /health` (the report; 503 when degraded) and `GET /ready` on a port of the loopback, or of `host`. */
  static readonly layerHttp = (options: {
    readonly port: number
    /** Default: 127.0.0.1. */
    readonly host?: string
  }): Layer.Layer<never, never, Health> => Layer.effectDiscard(serve(options))
}

const problemsOf = (report: Omit<HealthReport, "status" | "problems" | "ready">): ReadonlyArray<string> => {
  const problems: Array<string> = []
  if (report.platform !== "closed") problems.push("the platform does not answer")
  if (report.pushes === "lost") problems.push("pushes are not heard: cached allows are asked for again")
  if (report.policies.problem !== null) problems.push(`policies: ${report.policies.problem}`)
  if (report.policies.isOld)
    problems.push(`policies were not confirmed for ${Math.round((report.policies.ageMs ?? 0) / 1000)} s`)
  if (report.registration.problem !== null) problems.push(`registration: ${report.registration.problem}`)
  if (report.events.status !== "ok") problems.push("events are not kept or do not get out as they should")
  if (!report.governance) problems.push("governance is switched off: calls are ungoverned")
  if (report.enforcement === "observe") problems.push("policies are observed, nothing is blocked")
  if (report.failurePolicy.includes("fail-open"))
    problems.push("the failure policy lets calls through unseen")
  return problems
}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const pushes = yield* Pushes
  const sync = yield* PolicySync
  const keys = yield* PlatformKeys
  const registrar = yield* Registrar
  const events = yield* EventBuffer
  const permissions = yield* PermissionCache
  const shared = yield* SharedCache
  const trust = yield* TrustTracker
  const failure = yield* FailurePolicy
  const circuit = yield* Effect.serviceOption(PlatformCircuit)
  const now = Effect.gen(function* () {
    const report = {
      agentId: settings.agentId,
      organizationId: settings.organizationId,
      governance: settings.governance,
      enforcement: settings.enforcement,
      failurePolicy: failure.name,
      platform: circuit._tag === "None" ? "closed" : circuit.value.stateUnsafe().phase,
      pushes: pushes.lineUnsafe(),
      policies: yield* sync.state,
      keys: keys.stateUnsafe(),
      registration: registrar.stateUnsafe(),
      events: yield* events.health,
      permissions: yield* permissions.statistics,
      shared: yield* shared.statistics,
      trust: yield* trust.score
    }
    const problems = problemsOf(report)
    const ready = report.registration.registered && report.policies.version !== null
    return {
      ...report,
      problems,
      ready,
      status: problems.length === 0 ? "ok" : "degraded"
    } satisfies HealthReport
  })
  return Health.of({ now })
})

const serve = Effect.fnUntraced(function* (options: { readonly port: number; readonly host?: string }) {
  const health = yield* Health
  const { createServer } = yield* Effect.promise(() => import("node:http"))
  const run = Effect.runPromiseWith(yield* Effect.context<never>())
  const server = createServer((request, response) => {
    void run(health.now).then((report) => {
      const isReady = request.url === "/ready"
      if (!isReady && request.url !== "/health") {
        response.writeHead(404).end()
        return
      }
      const ok = isReady ? report.ready : report.status === "ok"
      response.writeHead(ok ? 200 : 503, { "content-type": "application/json" })
      response.end(JSON.stringify(isReady ? { ready: report.ready, problems: report.problems } : report))
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.once("error", (cause) => resume(Effect.die(cause)))
      server.listen(options.port, options.host ?? "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
})
