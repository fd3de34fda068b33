/** The work of `Registrar`: registering, and keeping the key that the platform answers once. */
import type { RefusedEvents } from "@agion/domain"
import { Clock, Effect, Redacted, Schedule } from "effect"
import { GovernanceHttp } from "../GovernanceHttp.ts"
import * as AgentFolder from "../internal/AgentFolder.ts"
import { outliving } from "../internal/Outliving.ts"
import { PlatformKeys } from "../PlatformKeys.ts"
import { Registrar, type RegistrarState, RegistrationTurns } from "../Registrar.ts"
import { Settings } from "../Settings.ts"
import { eventKeyIdOf, KeptKey } from "./EventKeys.ts"

const again = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")])

/** Registers in the background for as long as its scope is open. */
export const make = Effect.gen(function* () {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const { registration } = settings
  let state: RegistrarState = { registered: false, lastSeenAt: null, problem: null }
  const file = AgentFolder.eventKeyFile(settings, settings.agentId)
  const kept = yield* AgentFolder.load(file, KeptKey)
  let eventKey = kept === undefined ? undefined : Redacted.make(kept.eventKey)

  let waiting: Array<() => void> = []
  const answered = (): void => {
    const calls = waiting
    waiting = []
    for (const call of calls) call()
  }

  let heardOf = ""
  /** What the platform has set aside since it was last asked: over Redis nobody else says so. */
  const heard = Effect.fnUntraced(function* (refused: RefusedEvents | undefined) {
    if (refused === undefined || `${refused.lastAt} ${refused.count}` === heardOf) return null
    heardOf = `${refused.lastAt} ${refused.count}`
    const problem = `the platform has set aside ${refused.count} events in this agent's name for their signature, the last at ${refused.lastAt}; its dead letters hold them`
    yield* Effect.logWarning(problem)
    return problem
  })

  const attempt = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const agent = yield* http.ask((api) =>
      api.agents.register({
        payload: {
          agentId: settings.agentId,
          organizationId: settings.organizationId,
          status: "active",
          registeredAt: new Date(now).toISOString(),
          version: registration.version ?? "0.0.0",
          name: registration.name ?? settings.agentId,
          type: registration.type,
          capabilities: registration.capabilities,
          framework: registration.framework,
          model: registration.model,
          metadata: registration.metadata,
          eventKeyId: eventKeyIdOf(eventKey)
        }
      })
    )
    if (agent.eventKey !== undefined) {
      eventKey = Redacted.make(agent.eventKey)
      yield* AgentFolder.keep(file, KeptKey, { eventKey: agent.eventKey })
    }
    state = { registered: true, lastSeenAt: now, problem: yield* heard(agent.refusedEvents) }
    answered()
  })
  const turns = yield* RegistrationTurns
  const note = (problem: string) =>
    Effect.sync(() => {
      state = { ...state, problem }
    })
  const noted = (turns === null ? attempt : turns.withPermit(attempt)).pipe(
    Effect.tapError((error) => note(error.message)),
    Effect.tapDefect(() => note("it ended in a defect; see the log"))
  )
  yield* keys.pin.pipe(
    Effect.andThen(Effect.retry(noted, again)),
    Effect.ignore,
    outliving("registering the agent"),
    Effect.andThen(Effect.sleep("1 minute")),
    Effect.forever,
    Effect.forkScoped
  )
  return Registrar.of({
    register: noted.pipe(
      Effect.ignore,
      outliving("registering the agent"),
      Effect.map(() => state)
    ),
    stateUnsafe: () => state,
    eventKeyUnsafe: () => eventKey,
    whenAnsweredUnsafe: (call) => {
      if (state.registered) call()
      else waiting.push(call)
    }
  })
})
