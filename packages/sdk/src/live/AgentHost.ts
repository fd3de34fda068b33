/** The work of `AgentHost`: what agents share is built once, and each is put together over it. */
import { Context, Effect, Layer, Scope, Semaphore } from "effect"
import type { HttpClient } from "effect/http"
import { AgentConfig } from "../AgentConfig.ts"
import { AgentHost, type Connections, type HostedAgentOptions, type HostOptions } from "../AgentHost.ts"
import type { Services } from "../AgionSdk.ts"
import { EventBuffer } from "../EventBuffer.ts"
import { Governance } from "../Governance.ts"
import { GovernanceHttp } from "../GovernanceHttp.ts"
import { Health } from "../Health.ts"
import { CacheTurns, makeTurns } from "../internal/CacheTurns.ts"
import { given } from "../internal/Given.ts"
import { type HostedCaches, makeCaches } from "../internal/HostedCaches.ts"
import { hostedAgentOptions, hostOptions, settingsIn } from "../internal/KnownOptions.ts"
import { usableFolder } from "../internal/UsableFolder.ts"
import { PermissionCache } from "../PermissionCache.ts"
import { PlatformKeys } from "../PlatformKeys.ts"
import { PolicyEngine } from "../PolicyEngine.ts"
import { PolicySync } from "../PolicySync.ts"
import type { Pushes } from "../Pushes.ts"
import { Registrar, RegistrationTurns } from "../Registrar.ts"
import { Settings, SettingsInvalid, type SettingsShape } from "../Settings.ts"
import { SharedCache } from "../SharedCache.ts"
import { Telemetry } from "../Telemetry.ts"
import { TrustTracker } from "../TrustTracker.ts"
import { handedOn, layerConnections, logging, loudness, weaknessesOf } from "./AgionSdk.ts"
import { eventKeyOf, OwnKeys } from "./EventKeys.ts"
import { checkedBy } from "./Settings.ts"

/** What agents of a host share. */
type Shared =
  | HttpClient.HttpClient
  | Settings
  | Pushes
  | GovernanceHttp
  | PlatformKeys
  | AgentConfig
  | SharedCache
  | PolicyEngine
  | PolicySync
  | TrustTracker
  | EventBuffer
  | Telemetry

/** A host as an agent of its own. */
const settingsOf = ({ hostId, registrations: _registrations, ...options }: HostOptions) => ({
  ...options,
  agentId: hostId ?? "host"
})

const layerShared = (
  options: HostOptions,
  keys: OwnKeys
): Layer.Layer<Shared, SettingsInvalid, Connections> => {
  const settings = Settings.layer(settingsIn(settingsOf(options)))
  const known = Layer.mergeAll(PlatformKeys.layer, AgentConfig.layer).pipe(
    Layer.provideMerge(GovernanceHttp.layer(options.http))
  )
  const shared = SharedCache.layer().pipe(Layer.provideMerge(known))
  const events = Layer.unwrap(
    Effect.map(Settings, (settings) =>
      EventBuffer.layer({
        organizationId: settings.organizationId,
        directory: settings.eventDirectory ?? false,
        eventKey: eventKeyOf(settings, keys),
        awaitedKeys: keys,
        ...given(options.events)
      })
    )
  )
  const judged = Layer.mergeAll(TrustTracker.layer, PolicyEngine.layer(options.dlp), events).pipe(
    Layer.provideMerge(shared)
  )
  const http = Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("effect/http/HttpClient")),
      ({ HttpClient }) => Layer.effect(HttpClient, HttpClient)
    )
  )
  return Layer.merge(PolicySync.layer(options.policies), loudness).pipe(
    Layer.provideMerge(judged),
    Layer.provideMerge(settings),
    Layer.provideMerge(Layer.mergeAll(handedOn, http, Telemetry.layer(options.telemetry)))
  )
}

/** What an agent is made of, besides what is shared. */
interface Own {
  readonly agent: HostedAgentOptions
  readonly settings: SettingsShape
  readonly scope: Scope.Scope
  readonly keys: OwnKeys
  readonly caches: HostedCaches
  readonly flush: (events: EventBuffer["Service"]) => Effect.Effect<void>
}

/** The agent's events are signed with its key from now on, after it closed too. */
const signing = (registrar: Registrar["Service"], { agent, keys }: Own) =>
  Effect.acquireRelease(
    Effect.sync(() => keys.add(agent.agentId, registrar)),
    () => Effect.sync(() => keys.close(agent.agentId))
  )

/**
 * The parts of one agent over what is shared, made one after the other in one scope: as layers they would each keep
 * a scope and an entry of a memo map, more than half of an agent's memory.
 */
const makeParts = Effect.fnUntraced(function* (shared: Context.Context<Shared>, own: Own) {
  const { agent, settings } = own
  let isClosed = false
  const events = Context.get(shared, EventBuffer).forAgent(agent.agentId, () => isClosed)
  const engine = Context.get(shared, PolicyEngine).forAgent(settings)
  const trust = Context.get(shared, TrustTracker).forAgent(settings)
  const base = shared.pipe(
    Context.merge(Context.make(Settings, settings)),
    Context.add(PolicyEngine, engine),
    Context.add(TrustTracker, trust),
    Context.add(EventBuffer, events),
    Context.add(Scope.Scope, own.scope)
  )
  const registrar = yield* Effect.provideContext(Registrar.make, base)
  yield* Scope.provide(signing(registrar, own), own.scope)
  yield* Scope.addFinalizer(
    own.scope,
    Effect.suspend(() => {
      isClosed = true
      return own.flush(events)
    })
  )
  const cache = yield* Effect.provideContext(PermissionCache.make(agent.cache), base)
  yield* Scope.provide(own.caches.join(cache), own.scope)
  const asked = Context.add(base, PermissionCache, cache)
  const governance = yield* Effect.provideContext(Governance.make, asked)
  const told = Context.add(asked, Registrar, registrar)
  const health = yield* Effect.provideContext(Health.make, told)
  // The program's own scope is not replaced by ours.
  return told.pipe(
    Context.add(Governance, governance),
    Context.add(Health, health),
    Context.omit(Scope.Scope)
  ) as Context.Context<Services>
})

const notConnected = (problem: string) => Effect.fail(new SettingsInvalid({ setting: "agentId", problem }))

/** Says what weakens governance of this agent and not of the whole host, which has said so. */
const warn = (settings: SettingsShape, said: ReadonlyArray<string>) =>
  Effect.forEach(
    weaknessesOf(settings).filter((weakness) => !said.includes(weakness)),
    (weakness) => Effect.logWarning(`agent \`${settings.agentId}\`: ${weakness}`),
    { discard: true }
  )

const make = Effect.fnUntraced(function* (options: HostOptions, keys: OwnKeys) {
  const turns = yield* Semaphore.make(options.registrations ?? 16)
  const shared = (yield* Effect.context<Shared>()).pipe(
    Context.add(RegistrationTurns, turns),
    Context.add(CacheTurns, yield* makeTurns)
  )
  const caches = makeCaches()
  if (options.telemetry?.metrics !== false)
    yield* Effect.provideContext(Telemetry.metricsOf(caches.totalsUnsafe), shared)
  const agents = yield* Scope.make("parallel")
  const connected = new Set<string>()
  let closing = false
  yield* Effect.addFinalizer((exit) =>
    Effect.suspend(() => {
      // The buffer flushes for all of them, once.
      closing = true
      return Scope.close(agents, exit)
    })
  )
  const base = settingsIn(settingsOf(options))
  const deadline = options.events?.shutdownDeadline ?? "2 seconds"

  // Seen and taken in one step: of two who ask at once one gets it.
  const claim = (agentId: string) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        if (closing) return notConnected("cannot be connected: the host is closed")
        if (connected.has(agentId))
          return notConnected("is connected to this host already; close that agent first, or give another id")
        connected.add(agentId)
        return Effect.void
      }),
      () => Effect.sync(() => connected.delete(agentId))
    )
  const hostWeaknesses = weaknessesOf(Context.get(shared, Settings))
  // Whether the host is closing is known when the flush is due.
  const flush = (events: EventBuffer["Service"]) =>
    Effect.suspend(() => (closing ? Effect.void : Effect.asVoid(events.flush({ deadline }))))
  return AgentHost.of({
    connectedUnsafe: () => connected.size,
    closingUnsafe: () => {
      closing = true
    },
    connect: Effect.fnUntraced(function* (options) {
      const agent = yield* checkedBy(hostedAgentOptions, options)
      const scope = yield* Scope.fork(agents)
      yield* Effect.addFinalizer((exit) => Scope.close(scope, exit))
      yield* Scope.provide(claim(agent.agentId), scope)
      const settings = yield* Settings.make(settingsIn({ ...base, ...given(agent) }))
      yield* Effect.provideContext(warn(settings, hostWeaknesses), shared)
      return yield* makeParts(shared, { agent, settings, scope, keys, caches, flush })
    })
  })
})

/** Over the connections that the options name. */
export const layer = (options: HostOptions): Layer.Layer<AgentHost, SettingsInvalid> =>
  Layer.unwrap(
    Effect.map(checkedBy(hostOptions, options), () =>
      layerOver(options).pipe(Layer.provide(layerConnections(settingsOf(options))))
    )
  )

/** Over whatever connections there are. */
export const layerOver = (options: HostOptions): Layer.Layer<AgentHost, SettingsInvalid, Connections> => {
  const keys = new OwnKeys()
  const over = (checked: HostOptions) =>
    Layer.effect(AgentHost, make(checked, keys)).pipe(
      Layer.provide(layerShared(checked, keys)),
      Layer.provide(logging(checked.logLevel))
    )
  return Layer.unwrap(checkedBy(hostOptions, options).pipe(Effect.tap(usableFolder), Effect.map(over)))
}
