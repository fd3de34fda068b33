/** The work of `Health`: every part asked, and the answer served. */
import { type Cause, Effect } from "effect"
import { EventBuffer } from "../EventBuffer.ts"
import { FailurePolicy } from "../FailurePolicy.ts"
import { Health, type HealthReport } from "../Health.ts"
import { PlatformCircuit } from "../HttpPool.ts"
import { PermissionCache } from "../PermissionCache.ts"
import { PlatformKeys } from "../PlatformKeys.ts"
import { PolicySync } from "../PolicySync.ts"
import { Pushes } from "../Pushes.ts"
import { Registrar } from "../Registrar.ts"
import { Settings } from "../Settings.ts"
import { SharedCache } from "../SharedCache.ts"
import { TrustTracker } from "../TrustTracker.ts"

/** What the breaker's state says of the platform; undefined: it is reachable as far as is known. */
const awayOf = (platform: string): string | undefined => {
  if (platform === "closed" || platform === "forcedClosed") return undefined
  return platform === "forcedOpen"
    ? "the platform is not asked: its breaker is forced open"
    : "the platform does not answer"
}

/** From here on, milliseconds, heartbeats of every second do not keep an allow fresh. */
const lateFrom = 2000

const problemsOf = (
  report: Omit<HealthReport, "status" | "problems" | "ready">,
  lateness: number
): ReadonlyArray<string> => {
  const problems: Array<string> = []
  const away = awayOf(report.platform)
  if (away !== undefined) problems.push(away)
  if (report.pushes === "lost") problems.push("pushes are not heard: cached allows are asked for again")
  if (report.pushes === "up" && lateness >= lateFrom)
    problems.push(
      `pushes are heard ${Math.round(lateness / 1000)} s late: cached allows are asked for again; look at the line, and at the clocks of the platform's replicas`
    )
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

/** The health of one agent. */
export const make = Effect.gen(function* () {
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
    const problems = problemsOf(report, pushes.clock.lateness)
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

/** Says what cannot be read, and lets nobody wait for it. */
const unreadable = (cause: Cause.Cause<unknown>) =>
  Effect.as(Effect.logError("the state of the SDK cannot be read", cause), {
    status: 503,
    text: JSON.stringify({
      status: "degraded",
      ready: false,
      problems: ["the state of the SDK cannot be read; see the log"]
    })
  })

/** The answer to a path; undefined: there is none. */
const answerTo = (health: Health["Service"], path: string | undefined) => {
  if (path !== "/health" && path !== "/ready") return undefined
  return health.now.pipe(
    Effect.map((report) =>
      path === "/ready"
        ? {
            status: report.ready ? 200 : 503,
            text: JSON.stringify({ ready: report.ready, problems: report.problems })
          }
        : { status: report.status === "ok" ? 200 : 503, text: JSON.stringify(report) }
    ),
    Effect.catchCause(unreadable)
  )
}

/** Answers over HTTP for as long as its scope is open. */
export const serve = Effect.fnUntraced(function* (options: {
  readonly port: number
  readonly host?: string
}) {
  const health = yield* Health
  const { createServer } = yield* Effect.promise(() => import("node:http"))
  const run = Effect.runPromiseWith(yield* Effect.context<never>())
  const server = createServer((request, response) => {
    const answer = answerTo(health, request.url?.split("?")[0])
    if (answer === undefined) {
      response.writeHead(404).end()
      return
    }
    void run(answer).then(({ status, text }) => {
      response.writeHead(status, { "content-type": "application/json" }).end(text)
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      const refused = (cause: Error) => resume(Effect.die(cause))
      server.once("error", refused)
      server.listen(options.port, options.host ?? "127.0.0.1", () => {
        server.off("error", refused)
        // A connection that could not be taken, as where the system is short of memory: unheard it would end the program.
        server.on("error", (cause) => void run(Effect.logWarning("health could not be asked", cause)))
        resume(Effect.void)
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
})
