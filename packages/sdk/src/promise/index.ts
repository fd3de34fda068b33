/**
 * The SDK for programs made of promises: the same calls, errors as classes with `code`, `AbortSignal` everywhere.
 *
 * ```ts
 * await using agion = await Agion.connect({ agentId: "agent-1", gatewayUrl: "http://127.0.0.1:8080" })
 * const answer = await agion.governed({ action: "chat", resource: modelId, content: prompt }, (call) =>
 *   askModel(call.content, { signal: call.signal })
 * )
 * ```
 *
 * **Gotchas**: closing ends calls and streams that are under way with `AgentClosed`, as every call after it, and
 * flushes events within two seconds; without `close` or `await using` the process may stay.
 */
import type { ResourceType } from "@agion/domain"
import type { PolicySet } from "@agion/policy"
import {
  Cause,
  Context,
  Effect,
  Exit,
  Layer,
  Logger,
  ManagedRuntime,
  References,
  Schema,
  Stream
} from "effect"
import { AgentClosed } from "../AgentClosed.ts"
import { ConfigMissing } from "../AgentConfig.ts"
import { AgentHost, type HostOptions } from "../AgentHost.ts"
import { type AgionOptions, layerConfig, layer as layerOf, type Services } from "../AgionSdk.ts"
import type { Decision } from "../Decision.ts"
import { type Denied, isDenied } from "../Denials.ts"
import { EventBuffer, type EventStatistics, type Flushed } from "../EventBuffer.ts"
import type { EventInputs, EventKind } from "../events/Event.ts"
import { Governance, type GovernedCall, type GovernedOptions } from "../Governance.ts"
import { asRefusal, type GovernanceApi, GovernanceHttp } from "../GovernanceHttp.ts"
import { governedStream, type TextIn } from "../GovernedStream.ts"
import { Health, type HealthReport } from "../Health.ts"
import * as Inputs from "../Inputs.ts"
import { Rejected } from "../internal/Rejected.ts"
import { type CacheStatistics, type CheckInput, PermissionCache } from "../PermissionCache.ts"
import { type PolicyChange, PolicyEngine, type PolicyJudgement, type PolicyQuery } from "../PolicyEngine.ts"
import { PolicySync } from "../PolicySync.ts"
import { Settings, SettingsInvalid } from "../Settings.ts"
import { type TrustChange, TrustTracker, type TrustView } from "../TrustTracker.ts"
import { seenOf } from "./Arguments.ts"
import { OpenStreams } from "./Closing.ts"
import { type Host, openHost } from "./Host.ts"
import { stoppable } from "./Stoppable.ts"
import { type Functions, type Tool, type ToolOptions, toolOf } from "./Tools.ts"

export { AgentClosed } from "../AgentClosed.ts"
export { ConfigMissing } from "../AgentConfig.ts"
export type { HostedAgentOptions, HostOptions } from "../AgentHost.ts"
export type { AgionOptions } from "../AgionSdk.ts"
export type { Decision } from "../Decision.ts"
export {
  ApprovalRequired,
  CallTimedOut,
  type DenialValue,
  type Denied,
  denialValue,
  GovernanceUnavailable,
  isDenied,
  PermissionDenied,
  PolicyViolation
} from "../Denials.ts"
export type { GovernedOptions, Usage } from "../Governance.ts"
export { PlatformRefused, PlatformUnavailable } from "../GovernanceHttp.ts"
export type { TextIn } from "../GovernedStream.ts"
export { InputInvalid } from "../InputInvalid.ts"
export type { CacheStatistics, CheckInput } from "../PermissionCache.ts"
export type { PolicyChange, PolicyJudgement, PolicyQuery } from "../PolicyEngine.ts"
export { SettingsInvalid } from "../Settings.ts"
export type { TrustChange, TrustView } from "../TrustTracker.ts"
export type { Host } from "./Host.ts"
export { ArgumentUnreadable } from "./Reader.ts"
export type { Functions, Tool, ToolOptions } from "./Tools.ts"

/** A governed call, and what stops it. */
export interface CallSpec<A = never> extends GovernedOptions<A> {
  /** What is done, in the program's own word, such as `chat`; policies see it as `request.action`. */
  readonly action: string
  /** The resource's id. */
  readonly resource: string
  /** Aborting interrupts the call, which rejects with the signal's reason; its work is told by `call.signal`. */
  readonly signal?: AbortSignal
}

/** A governed stream, and what stops it. */
export interface StreamSpec<A = unknown> extends Omit<CallSpec, "usage"> {
  /** Scan text in the stream, or where a `TextIn` says that it stands. Default: true, wherever it stands. */
  readonly scan?: boolean | TextIn<A>
  /** How many characters of a text wait for what follows them, 0 to 65,536. Default: 4096. See `governedStream`. */
  readonly holdBack?: number
}

/** What a call knows of itself; `signal` is aborted when it must stop. */
export interface PromiseCall extends GovernedCall {
  readonly signal: AbortSignal
}

/** What the SDK has done since it was connected. */
export interface Statistics {
  readonly permissions: CacheStatistics
  readonly events: EventStatistics
}

/** Logs stay off standard output, which is the program's; `logLevel` says from which level on there are any. */
const logs = Layer.merge(
  Layer.succeed(Logger.LogToStderr, true),
  Layer.succeed(References.MinimumLogLevel, "Warn")
)

/** What the environment says; a variable that is missing or wrong is named in one line. */
const environment = Layer.catchTag(layerConfig, "ConfigError", ({ cause }) => {
  const issue = Schema.isSchemaError(cause) ? cause.issue : undefined
  const setting = issue?._tag === "Pointer" ? issue.path.map(String).join("_") : "AGION_*"
  const expected = cause.message.split("\n")[0]?.replace(/^E/, "e") ?? ""
  const problem = `of the environment is missing or wrong (${expected}); set it, or give \`Agion.connect\` options`
  return Layer.effectContext(Effect.fail(new SettingsInvalid({ setting, problem })))
})

const signalOf = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal })

/** An agent's connection to its platform. */
export class Agion implements AsyncDisposable {
  readonly #runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  readonly #services: Context.Context<Services>
  readonly #cache: PermissionCache["Service"]
  readonly #streams = new OpenStreams()
  #closes: () => void = () => {}

  private constructor(
    runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
    services: Context.Context<Services>
  ) {
    this.#runtime = runtime
    this.#services = services
    this.#cache = Context.get(services, PermissionCache)
  }

  /**
   * Starts the SDK; without options as `AGION_*` variables say. A platform that is away does not make it fail;
   * options that cannot be do.
   */
  static async connect(options?: AgionOptions): Promise<Agion> {
    return Agion.over(options === undefined ? environment : layerOf(options))
  }

  /** The same over a layer of the program's, such as that of `@agion/sdk/testing`. */
  static async over(layer: Layer.Layer<Services, unknown>): Promise<Agion> {
    Inputs.demand(Inputs.layer, layer, "layer")
    const runtime = ManagedRuntime.make(Layer.provideMerge(layer, logs))
    try {
      return new Agion(runtime, await runtime.context())
    } catch (error) {
      await runtime.dispose()
      throw error
    }
  }

  /** Starts what many agents of one organization share in this process; `connect` of it makes an agent. */
  static async host(options: HostOptions): Promise<Host> {
    return Agion.hostOver(AgentHost.layer(options))
  }

  /** The same over a layer of the program's, such as `AgentHost.layerOver` over `AgionTest.connections()`. */
  static async hostOver(layer: Layer.Layer<AgentHost, unknown>): Promise<Host> {
    Inputs.demand(Inputs.layer, layer, "layer")
    return openHost(Layer.provideMerge(layer, logs), async (parts, closes) => {
      const agion = await Agion.over(parts)
      agion.#closes = closes
      return agion
    })
  }

  #run<A, E>(effect: Effect.Effect<A, E, Services>, signal?: AbortSignal): Promise<A> {
    if (this.#streams.closed) return Promise.reject(new AgentClosed())
    // A fiber runs up to its first wait before it looks at its signal: with an answer in memory, that is the work.
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    return this.#runtime.runPromiseExit(effect, signalOf(signal)).then((exit) => {
      if (Exit.isSuccess(exit)) return exit.value
      if (!Cause.hasInterruptsOnly(exit.cause)) throw Cause.squash(exit.cause)
      if (this.#streams.closed) throw new AgentClosed()
      throw signal?.aborted === true ? signal.reason : Cause.squash(exit.cause)
    })
  }

  #changes<A>(changes: Stream.Stream<A>): AsyncIterable<A> {
    const all = Stream.toAsyncIterableWith(changes, this.#services)
    return { [Symbol.asyncIterator]: () => this.#streams.read(all) }
  }

  /** Runs `work` as a governed call. Rejects with a denial, or with what `work` rejected with. */
  async governed<A>(spec: CallSpec<A>, work: (call: PromiseCall) => PromiseLike<A> | A): Promise<A> {
    Inputs.demand(Inputs.callSpec, spec)
    Inputs.demand(Inputs.work, work, "work")
    const { action, resource, signal, ...options } = spec
    const governance = Context.get(this.#services, Governance)
    const governed = governance.run<A, GovernedOptions<A>>(
      action,
      resource,
      options
    )((call) =>
      Effect.tryPromise({
        try: async (stop) => work({ ...call, signal: stop }),
        catch: (cause) => new Rejected(cause)
      })
    )
    try {
      return await this.#run(governed, signal)
    } catch (error) {
      if (error instanceof Rejected) throw error.cause
      throw signal?.aborted === true && !isDenied(error) ? signal.reason : error
    }
  }

  /**
   * A function that is governed each time it is called, with the same arguments. Policies see them as
   * `request.arguments`: a single object as it is, others as `args`; one that cannot be read refuses the call. An
   * `AbortSignal` among them stops the call. A generator is refused: `stream` governs what it yields.
   */
  wrap<Args extends ReadonlyArray<unknown>, A>(
    spec: CallSpec<A> | ((...args: Args) => CallSpec<A>),
    work: (...args: Args) => PromiseLike<A> | A
  ): (...args: Args) => Promise<A> {
    Inputs.demand(Inputs.wrapped, work, "work")
    return async (...args) => {
      const given = typeof spec === "function" ? spec(...args) : spec
      if (typeof given !== "object" || given === null) Inputs.demand(Inputs.callSpec, given)
      const signal = given.signal ?? args.find((arg) => arg instanceof AbortSignal)
      const stopping = signal === undefined ? {} : { signal }
      if (given.arguments !== undefined) return this.governed({ ...given, ...stopping }, () => work(...args))
      const seen = seenOf(args)
      return this.governed({ ...given, arguments: seen.arguments, ...stopping }, (call) =>
        work(...seen.handedOn(call.arguments))
      )
    }
  }

  /**
   * The functions behind an agent framework's tools, each governed under its name. Policies see what the model gave
   * as `request.arguments` and the name as `request.tool`; a denial is an answer that the model can read (GOVERN-3).
   */
  tools<F extends Functions>(
    resource: string,
    functions: F,
    options: ToolOptions & { readonly denied: "throw" }
  ): { readonly [K in keyof F]: Tool<F[K], never> }
  tools<F extends Functions>(
    resource: string,
    functions: F,
    options?: ToolOptions
  ): { readonly [K in keyof F]: Tool<F[K]> }
  tools(
    resource: string,
    functions: Readonly<Record<string, (...args: ReadonlyArray<unknown>) => unknown>>,
    options: ToolOptions = {}
  ): Readonly<Record<string, unknown>> {
    Inputs.demand(Inputs.resourceId, resource, "resource")
    Inputs.demand(Inputs.functions, functions, "functions")
    Inputs.demand(Inputs.toolOptions, options)
    return Object.fromEntries(
      Object.entries(functions).map(([name, work]) => [name, toolOf(this, name, resource, work, options)])
    )
  }

  /**
   * Governs a stream of what `work` gives; text in it is scanned (GOVERN-4). Where the signal aborts, the stream is
   * settled by its estimate and rejects with the signal's reason; after `timeout` with `CallTimedOut`. `call.signal`
   * is aborted when the stream ends before its work does.
   */
  stream<A>(
    spec: StreamSpec<A>,
    work: (call: PromiseCall) => AsyncIterable<A> | ReadableStream<A>
  ): AsyncIterable<A> {
    Inputs.demand(Inputs.streamSpec, spec)
    Inputs.demand(Inputs.work, work, "work")
    const { action, resource, signal, ...options } = spec
    const stream = governedStream(
      action,
      resource,
      options
    )((call) =>
      Stream.unwrap(
        Effect.try({
          try: () => Stream.fromAsyncIterable(stoppable(call, work), rejected),
          catch: rejected
        })
      )
    )
    return this.#streams.read(Stream.toAsyncIterableWith(stream, this.#services), signal)
  }

  /** May this agent do this now? A denial is an answer. Rejects when the platform refuses the question itself. */
  check(input: CheckInput, options: { readonly signal?: AbortSignal } = {}): Promise<Decision> {
    if (this.#streams.closed) return Promise.reject(new AgentClosed())
    // A hit is a value already: no fiber is needed to hand it out, and what it was found by is right.
    if (Inputs.isHittable(input)) {
      const hit = this.#cache.checkUnsafe(input)
      if (isSettled(hit)) return Promise.resolve(hit.value)
    }
    const fault = Inputs.checkInput(input, "") ?? Inputs.checkOptions(options, "options")
    return fault === undefined
      ? this.#run(this.#cache.checkUnsafe(input), options.signal)
      : Promise.reject(Inputs.invalid(fault))
  }

  /**
   * The id of a resource, by its name. Rejects with `ConfigMissing` when there is none of that name, with
   * `ResourceAmbiguous` when several types have one and `type` does not say which, and when the platform is away.
   */
  async resource(name: string, type?: ResourceType): Promise<string> {
    Inputs.demand(Inputs.resourceName, name, "name")
    Inputs.demand(Inputs.resourceType, type, "type")
    const { organizationId } = Context.get(this.#services, Settings)
    // A page may hold one that the page before held, where others were added meanwhile.
    const found = new Map<string, ResourceType>()
    const seen = new Set<string>()
    const ofType = type === undefined ? {} : { resourceType: type }
    const http = Context.get(this.#services, GovernanceHttp)
    for (let offset = 0, more = true; more; offset += pageSize) {
      const page = http.ask((api) =>
        api.resources.list({ query: { organizationId, ...ofType, limit: pageSize, offset } })
      )
      const { resources } = await this.#run(Effect.mapError(page, asRefusal))
      const before = seen.size
      for (const { id, name: itsName, resourceType } of resources) {
        seen.add(id)
        if (itsName === name && (type ?? resourceType) === resourceType) found.set(id, resourceType)
      }
      more = resources.length === pageSize && seen.size > before
    }
    const [only, other] = found.keys()
    if (only === undefined) throw new ConfigMissing({ kind: "resource", key: name })
    if (other !== undefined) throw new ResourceAmbiguous({ resource: name, types: [...found.values()] })
    return only
  }

  /** Asks ahead for what a workflow will need. */
  async preload(inputs: ReadonlyArray<CheckInput>): Promise<void> {
    Inputs.demand(Inputs.checkInputs, inputs, "inputs")
    return this.#run(this.#cache.preload(inputs))
  }

  /** Holds the records of resources, so that degraded mode can judge calls on them. */
  async holdResources(resourceIds: ReadonlyArray<string>): Promise<void> {
    Inputs.demand(Inputs.resourceIds, resourceIds, "resourceIds")
    return this.#run(this.#cache.holdResources(resourceIds))
  }

  /** Any route of the contract; what only reads is repeated when the platform does not answer, what writes is not. */
  async http<A, E>(f: (api: GovernanceApi) => Effect.Effect<A, E>): Promise<A> {
    Inputs.demand(Inputs.work, f, "f")
    const asking = (api: GovernanceApi): Effect.Effect<A, E> => {
      const asked = f(api)
      Inputs.demand(Inputs.asked, asked, "f")
      return asked
    }
    return this.#run(Context.get(this.#services, GovernanceHttp).call(asking))
  }

  /** Takes an event in; never fails for want of a platform. Throws `AgentClosed` after `close`. */
  publish<K extends EventKind>(kind: K, event: EventInputs[K]): void {
    if (this.#streams.closed) throw new AgentClosed()
    Inputs.demand(Inputs.eventKind, kind, "kind")
    Inputs.demand(Inputs.event, event, "event")
    Context.get(this.#services, EventBuffer).publishUnsafe(kind, event)
  }

  /** Sends what was published so far. */
  flush(): Promise<Flushed> {
    return this.#run(Context.get(this.#services, EventBuffer).flush())
  }

  /** Scores, as the platform says them. */
  get trust() {
    const trust = Context.get(this.#services, TrustTracker)
    return {
      score: (): Promise<TrustView> => this.#run(trust.score),
      refresh: (): Promise<TrustView> => this.#run(trust.refresh),
      expected: (): Promise<number> => this.#run(trust.expected),
      changes: (): AsyncIterable<TrustChange> => this.#changes(trust.changes)
    }
  }

  /** Policies and DLP, as they are in force here. */
  get policies() {
    const engine = Context.get(this.#services, PolicyEngine)
    const sync = Context.get(this.#services, PolicySync)
    return {
      check: async (query: PolicyQuery): Promise<PolicyJudgement> => {
        Inputs.demand(Inputs.policyQuery, query)
        return this.#run(engine.check(query))
      },
      explain: async (query: PolicyQuery): Promise<PolicySet.Explanation> => {
        Inputs.demand(Inputs.policyQuery, query)
        return this.#run(engine.explain(query))
      },
      sync: (): Promise<number | null> => this.#run(sync.sync),
      version: (): Promise<number | null> => this.#run(engine.version),
      changes: (): AsyncIterable<PolicyChange> => this.#changes(engine.changes)
    }
  }

  /** How the SDK fares. */
  health(): Promise<HealthReport> {
    return this.#run(Context.get(this.#services, Health).now)
  }

  /** What the cache and the event buffer counted since the start. */
  async statistics(): Promise<Statistics> {
    const [permissions, events] = await Promise.all([
      this.#run(this.#cache.statistics),
      this.#run(Context.get(this.#services, EventBuffer).statistics)
    ])
    return { permissions, events }
  }

  /** Ends calls and streams that are under way with `AgentClosed`, settles them, flushes, lets go of everything. */
  async close(): Promise<void> {
    try {
      await this.#streams.close()
      await this.#runtime.dispose()
    } finally {
      this.#closes()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** Several resources have the name, of different types. */
export class ResourceAmbiguous extends Schema.TaggedError<ResourceAmbiguous>()("ResourceAmbiguous", {
  /** Their name. */
  resource: Schema.String,
  types: Schema.Array(Schema.String)
}) {
  readonly code = "resource_ambiguous"
  override get message() {
    return `there are ${this.types.length} resources \`${this.resource}\` (${this.types.join(", ")}); name the type, or use an id`
  }
}

const rejected = (cause: unknown) => new Rejected(cause)

/** Resources that one answer may list. */
const pageSize = 1000

const isSettled = <A, E>(effect: Effect.Effect<A, E>): effect is Exit.Success<A, E> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/** What keeps a call from running, as `catch` sees it. */
export type Denial = Denied
