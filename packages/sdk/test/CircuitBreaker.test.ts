import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, type LogLevel, Random, Ref, References, Schema, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as Circuit from "../src/Circuit.ts"
import * as CircuitBreaker from "../src/CircuitBreaker.ts"
import { atEachStep, interruptedAt } from "./Interrupting.ts"
import { noting } from "./Ready.ts"

const rules: Circuit.Rules = {
  consecutiveFailures: 3,
  windowMs: 1000,
  minimumCalls: 6,
  failureRate: 0.5,
  slowMs: 200,
  openMs: 100,
  maxOpenMs: 400,
  probes: 2,
  successes: 2,
  probeLeaseMs: 300
}

const Steps = Schema.Array(
  Schema.Union([
    Schema.Struct({ _tag: Schema.tag("Call") }),
    Schema.Struct({
      _tag: Schema.tag("Settle"),
      /** Which of the calls under way. */
      which: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
      outcome: Schema.Literals(["success", "failure", "failure", "ignored"])
    }),
    Schema.Struct({ _tag: Schema.tag("Wait"), millis: Schema.Literals([1, 20, 90, 150, 320, 900]) }),
    Schema.Struct({ _tag: Schema.tag("Force"), mode: Schema.Literals(["open", "closed", "none"]) })
  ])
)

interface Call {
  readonly ticket: Circuit.Ticket
  readonly startedAt: number
  /** The model's own count of changes of state when the call was let through. */
  readonly era: number
}

/**
 * A model with books of its own: a list of every outcome with its time, from which the twelve rules are read
 * off by search, without slices, generations or counters that are kept.
 */
class Model {
  phase: Circuit.Phase = "closed"
  era = 0
  closedSince = 0
  openUntil = 0
  doublings = 0
  lastOpen = 0
  outcomes: Array<{ readonly at: number; readonly failed: boolean }> = []
  probes = new Map<Call, number>()
  probed = 0

  change(phase: Circuit.Phase): void {
    this.phase = phase
    this.era += 1
    this.probes.clear()
    this.probed = 0
  }

  trip(now: number, random: number): void {
    this.lastOpen = Math.min(rules.maxOpenMs, rules.openMs * 2 ** this.doublings) * (0.5 + random / 2)
    this.doublings += 1
    this.openUntil = now + this.lastOpen
    this.change("open")
  }

  close(now: number): void {
    this.change("closed")
    this.closedSince = now
    this.outcomes = []
  }

  /** R4, R5, R9: whether a call may run. */
  allows(now: number): boolean {
    if (this.phase === "forcedOpen") return false
    if (this.phase === "open" && now < this.openUntil) return false
    if (this.phase === "open") this.change("half")
    if (this.phase !== "half") return true
    for (const [call, until] of this.probes) if (now >= until) this.probes.delete(call)
    return this.probes.size < rules.probes
  }

  settle(call: Call, outcome: Circuit.Outcome, now: number, random: number): void {
    // R6: of an earlier state of the circuit.
    if (call.era !== this.era) return
    const judged = outcome === "success" && now - call.startedAt > rules.slowMs ? "failure" : outcome
    if (this.phase === "half") {
      const until = this.probes.get(call)
      if (until === undefined || now >= until) return
      this.probes.delete(call)
      if (judged === "success") this.probed += 1
      if (judged === "failure") this.trip(now, random)
      else if (this.probed >= rules.successes) this.close(now)
      return
    }
    if (this.phase !== "closed" || judged === "ignored") return
    this.outcomes.push({ at: now, failed: judged === "failure" })
    if (judged === "failure" && this.trips(now)) {
      // R7: the back-off starts small again after a rest as long as the last one.
      if (now - this.closedSince >= this.lastOpen) this.doublings = 0
      this.trip(now, random)
    }
  }

  /** R2, over the slices of a tenth of the window. */
  private trips(now: number): boolean {
    const recent = this.outcomes.slice(-rules.consecutiveFailures)
    if (recent.length === rules.consecutiveFailures && recent.every((o) => o.failed)) return true
    const width = rules.windowMs / 10
    const seen = this.outcomes.filter((o) => Math.floor(o.at / width) * width + width > now - rules.windowMs)
    return (
      seen.length >= rules.minimumCalls &&
      seen.filter((o) => o.failed).length / seen.length >= rules.failureRate
    )
  }
}

/** Runs the steps through the rules and through the model; throws where they part. */
const compare = (
  steps: typeof Steps.Type,
  core: Pick<typeof Circuit, "admit" | "settle" | "force"> = Circuit
): Model => {
  const model = new Model()
  let circuit = Circuit.initial(0)
  let now = 0
  let random = 0.1
  const running: Array<Call> = []
  for (const [at, step] of steps.entries()) {
    random = (random * 7.3 + 0.17) % 1
    const told = `step ${at}: ${JSON.stringify(step)}`
    switch (step._tag) {
      case "Wait":
        now += step.millis
        break
      case "Call": {
        const allowed = model.allows(now)
        const [next, admission] = core.admit(circuit, now, rules)
        circuit = next
        assert.strictEqual(admission._tag === "Admitted", allowed, told)
        if (admission._tag === "Rejected") {
          assert.isAbove(admission.retryAfterMs, 0, told)
          break
        }
        const call = { ticket: admission.ticket, startedAt: now, era: model.era }
        running.push(call)
        if (model.phase === "half") model.probes.set(call, now + rules.probeLeaseMs)
        break
      }
      case "Settle": {
        const [call] = running.splice(Math.floor(step.which * running.length), 1)
        if (call === undefined) break
        model.settle(call, step.outcome, now, random)
        circuit = core.settle(circuit, call.ticket, step.outcome, now, rules, random)
        break
      }
      case "Force": {
        // A person does so now and then, not at every fourth step.
        if (at % 7 !== 0) break
        circuit = core.force(circuit, step.mode, now)
        if (step.mode !== "none") model.change(step.mode === "open" ? "forcedOpen" : "forcedClosed")
        else if (model.phase === "forcedOpen" || model.phase === "forcedClosed") {
          model.close(now)
          model.doublings = 0
          model.lastOpen = 0
        }
        break
      }
    }
    assert.strictEqual(circuit.phase, model.phase, told)
    if (circuit.phase === "open") assert.closeTo(circuit.until, model.openUntil, 1e-6, told)
  }
  return model
}

it.prop(
  "OUTAGE-7 does what a model with books of its own does, over any calls, outcomes, waits and orders of a person",
  { steps: Steps },
  ({ steps }) => {
    compare(steps)
  },
  { arbitrary: { runs: 400, size: 120 } }
)

/** Sequences from a small generator, long enough that every state is visited often. */
const sequences = (count: number): ReadonlyArray<typeof Steps.Type> => {
  let seed = 42
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((seed / 2_147_483_648) * below)
  }
  const waits = [1, 20, 90, 150, 320, 900] as const
  const outcomes = ["success", "failure", "failure", "ignored"] as const
  const modes = ["open", "closed", "none"] as const
  return Array.from({ length: count }, (_, run) =>
    Array.from({ length: 160 }, (): (typeof Steps.Type)[number] => {
      const kind = next(run % 4 === 0 ? 21 : 20)
      if (kind < 8) return { _tag: "Call" }
      if (kind < 16)
        return {
          _tag: "Settle",
          which: next(1000) / 1000,
          outcome: outcomes[run % 3 === 0 ? next(2) : next(4)] ?? "success"
        }
      if (kind < 20) return { _tag: "Wait", millis: waits[next(6)] ?? 1 }
      return { _tag: "Force", mode: modes[next(3)] ?? "none" }
    })
  )
}

describe("Circuit", () => {
  const many = sequences(250)

  /** The rules with one fault each; the comparison must find every one of them. */
  const mutants: { readonly [name: string]: Partial<Pick<typeof Circuit, "admit" | "settle" | "force">> } = {
    "R1 stays half open after a failed probe": {
      settle: (circuit, ticket, outcome, ...rest) =>
        Circuit.settle(
          circuit,
          ticket,
          circuit.phase === "half" && outcome === "failure" ? "ignored" : outcome,
          ...rest
        )
    },
    "R2 one failure less opens it": {
      settle: (circuit, ticket, outcome, now, r, random) =>
        Circuit.settle(
          circuit,
          ticket,
          outcome,
          now,
          { ...r, consecutiveFailures: r.consecutiveFailures - 1 },
          random
        )
    },
    "R2 the window is half as long": {
      settle: (circuit, ticket, outcome, now, r, random) =>
        Circuit.settle(circuit, ticket, outcome, now, { ...r, windowMs: r.windowMs / 2 }, random)
    },
    "R2 a slow call is none": {
      settle: (circuit, ticket, outcome, now, r, random) =>
        Circuit.settle(circuit, ticket, outcome, now, { ...r, slowMs: Number.POSITIVE_INFINITY }, random)
    },
    "R2 the rate counts before there are enough calls": {
      settle: (circuit, ticket, outcome, now, r, random) =>
        Circuit.settle(circuit, ticket, outcome, now, { ...r, minimumCalls: 2 }, random)
    },
    "R3 what is ignored counts as a failure": {
      settle: (circuit, ticket, outcome, ...rest) =>
        Circuit.settle(circuit, ticket, outcome === "ignored" ? "failure" : outcome, ...rest)
    },
    "R3 what is ignored keeps its permit": {
      settle: (circuit, ticket, outcome, ...rest) =>
        outcome === "ignored" ? circuit : Circuit.settle(circuit, ticket, outcome, ...rest)
    },
    "R4 a call too early": {
      admit: (circuit, now, r) => Circuit.admit(circuit, now + 30, r)
    },
    "R5 a probe too many": {
      admit: (circuit, now, r) => Circuit.admit(circuit, now, { ...r, probes: r.probes + 1 })
    },
    "R5 one success closes it": {
      settle: (circuit, ticket, outcome, now, r, random) =>
        Circuit.settle(circuit, ticket, outcome, now, { ...r, successes: 1 }, random)
    },
    "R6 the outcome of an earlier state counts": {
      settle: (circuit, ticket, ...rest) =>
        Circuit.settle(circuit, { ...ticket, generation: circuit.generation }, ...rest)
    },
    "R7 the back-off does not double": {
      settle: (circuit, ...rest) => Circuit.settle({ ...circuit, openings: 0 }, ...rest)
    },
    "R7 the back-off starts small again at once": {
      settle: (circuit, ...rest) => Circuit.settle({ ...circuit, lastOpenMs: 0 }, ...rest)
    },
    "R7 no jitter": {
      settle: (circuit, ticket, outcome, now, r) => Circuit.settle(circuit, ticket, outcome, now, r, 1)
    },
    "R9 a probe that says nothing keeps its place": {
      admit: (circuit, now, r) => Circuit.admit(circuit, now, { ...r, probeLeaseMs: 1e9 })
    },
    "a force that is taken back leaves the circuit as it was": {
      force: (circuit, mode, now) => (mode === "none" ? circuit : Circuit.force(circuit, mode, now))
    }
  }

  it("OUTAGE-7 every state is visited by the sequences that hunt the mutants, and the rules agree on all of them", () => {
    const visits = { closed: 0, open: 0, half: 0, forcedOpen: 0, forcedClosed: 0 }
    for (const steps of many) {
      const phases = new Set<Circuit.Phase>()
      const watched: typeof Circuit.settle = (...args) => {
        const next = Circuit.settle(...args)
        phases.add(next.phase)
        return next
      }
      compare(steps, { ...Circuit, settle: watched })
      for (const phase of phases) visits[phase] += 1
    }
    for (const [phase, count] of Object.entries(visits)) assert.isAbove(count, 10, phase)
  })

  for (const [name, fault] of Object.entries(mutants)) {
    it(`OUTAGE-7 a fault is found: ${name}`, () => {
      assert.throws(() => {
        for (const steps of many) compare(steps, { ...Circuit, ...fault })
      })
    })
  }

  it("OUTAGE-7 the window slides: failures of an hour ago do not open it", () => {
    let circuit = Circuit.initial(0)
    const run = (outcome: Circuit.Outcome, now: number) => {
      const [next, admission] = Circuit.admit(circuit, now, rules)
      assert(admission._tag === "Admitted")
      circuit = Circuit.settle(next, admission.ticket, outcome, now, rules, 0.5)
    }
    for (let i = 0; i < 23; i++) run(i % 3 === 0 ? "success" : i % 3 === 1 ? "failure" : "success", i)
    run("failure", 3_600_000)
    assert.strictEqual(circuit.phase, "closed")
  })

  it("OUTAGE-7 the back-off doubles up to its cap", () => {
    let circuit = Circuit.initial(0)
    let now = 0
    const lengths: Array<number> = []
    for (let i = 0; i < 5; i++) {
      while (circuit.phase !== "open") {
        const [next, admission] = Circuit.admit(circuit, now, rules)
        assert(admission._tag === "Admitted")
        circuit = Circuit.settle(next, admission.ticket, "failure", now, rules, 1)
      }
      lengths.push(circuit.until - now)
      now = circuit.until
      circuit = Circuit.admit(circuit, now, rules)[0]
      circuit = Circuit.settle(
        circuit,
        { generation: circuit.generation, probe: 1, startedAt: now },
        "failure",
        now,
        rules,
        1
      )
      if (circuit.phase === "open") {
        lengths.push(circuit.until - now)
        now = circuit.until
        circuit = Circuit.admit(circuit, now, rules)[0]
      }
    }
    assert.deepStrictEqual(lengths.slice(0, 5), [100, 200, 400, 400, 400])
  })
})

const options = { name: "platform", ...rules } satisfies CircuitBreaker.CircuitBreakerOptions
const failing = Effect.fail("down" as const)

describe("CircuitBreaker", () => {
  it.effect("OUTAGE-7 opens, tries nothing while it is open, and closes after probes that succeed", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      const runs = yield* Ref.make(0)
      const call = Effect.andThen(
        Ref.update(runs, (n) => n + 1),
        Effect.void
      )
      for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
      const refusal = yield* Effect.flip(breaker.run(call))
      assert.instanceOf(refusal, CircuitBreaker.CircuitOpen)
      assert.match(refusal.message, /`platform` is away; the call was not tried, ask again in \d+ ms/)
      assert.deepStrictEqual([yield* Ref.get(runs), breaker.stateUnsafe().phase], [0, "open"])
      yield* TestClock.adjust("100 millis")
      yield* breaker.run(call)
      assert.strictEqual(breaker.stateUnsafe().phase, "half")
      yield* breaker.run(call)
      assert.deepStrictEqual(yield* breaker.state, { phase: "closed", retryAfterMs: 0 })
      assert.deepStrictEqual(yield* breaker.counters, {
        admitted: 5,
        rejected: 1,
        successes: 2,
        failures: 3,
        ignored: 0,
        openings: 1
      })
    })
  )

  it.effect("OUTAGE-7 half open, the others are refused at once and never wait for the probe", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
      yield* TestClock.adjust("100 millis")
      const probes = yield* Effect.forEach([1, 2], () => Effect.forkChild(breaker.run(Effect.never)))
      yield* Effect.yieldNow
      for (let i = 0; i < 10; i++)
        assert.instanceOf(yield* Effect.flip(breaker.run(Effect.void)), CircuitBreaker.CircuitOpen)
      yield* TestClock.adjust("301 millis")
      yield* breaker.run(Effect.void)
      yield* breaker.run(Effect.void)
      assert.strictEqual(breaker.stateUnsafe().phase, "closed", "probes that say nothing lose their place")
      yield* Effect.forEach(probes, Fiber.interrupt)
      assert.strictEqual(breaker.stateUnsafe().phase, "closed")
    })
  )

  it.effect("OUTAGE-7 an interruption is nobody's fault, and gives the probe's place back", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ ...options, probes: 1 })
      for (let i = 0; i < 10; i++) {
        const fiber = yield* Effect.forkChild(breaker.run(Effect.never))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(breaker.stateUnsafe().phase, "closed")
      for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
      yield* TestClock.adjust("100 millis")
      const fiber = yield* Effect.forkChild(breaker.run(Effect.never))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      yield* breaker.run(Effect.void)
    })
  )

  it.effect("OUTAGE-7 a probe that is interrupted at whatever step gives its place back", () =>
    Effect.gen(function* () {
      const steps = yield* atEachStep((step) =>
        Effect.gen(function* () {
          const breaker = yield* CircuitBreaker.make({ ...options, probes: 1 })
          for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
          yield* TestClock.adjust("100 millis")
          const isReached = yield* interruptedAt(breaker.run(Effect.never), step)
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(breaker.run(Effect.void))), `step ${step}`)
          return isReached
        })
      )
      assert.isAbove(steps, 3)
    })
  )

  it.effect("OUTAGE-7 half open, its state says when the next call is let through", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ ...options, probes: 1 })
      for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
      yield* TestClock.adjust("100 millis")
      const probe = yield* Effect.forkChild(breaker.run(Effect.never), { startImmediately: true })
      const { retryAfterMs } = yield* Effect.flip(breaker.run(Effect.void))
      assert.isAbove(retryAfterMs, 0)
      assert.deepStrictEqual(yield* breaker.state, { phase: "half", retryAfterMs })
      yield* Fiber.interrupt(probe)
      assert.deepStrictEqual(yield* breaker.state, { phase: "half", retryAfterMs: 0 })
    })
  )

  it.effect("OUTAGE-7 a number that is undefined was left out", () =>
    Effect.gen(function* () {
      const none = Object.fromEntries(Object.keys(Circuit.defaultRules).map((rule) => [rule, undefined]))
      const breaker = yield* CircuitBreaker.make(none)
      for (let i = 0; i < Circuit.defaultRules.consecutiveFailures; i++)
        yield* Effect.flip(breaker.run(failing))
      const { phase, retryAfterMs } = breaker.stateUnsafe()
      assert.strictEqual(phase, "open")
      assert.isAbove(retryAfterMs, 0)
    })
  )

  it.effect("OUTAGE-7 a time-out inside it is a failure, a defect too", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      const slow = Effect.timeout(Effect.never, "50 millis")
      const fiber = yield* Effect.forkChild(Effect.exit(breaker.run(slow)))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(fiber)
      yield* Effect.exit(breaker.run(Effect.die("defect")))
      yield* Effect.exit(breaker.run(failing))
      assert.strictEqual(breaker.stateUnsafe().phase, "open")
    })
  )

  it.effect("OUTAGE-7 changes of state are a stream", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      const seen = yield* Effect.forkChild(Stream.runCollect(Stream.take(breaker.transitions, 4)))
      yield* Effect.yieldNow
      for (let i = 0; i < 3; i++) yield* Effect.flip(breaker.run(failing))
      yield* TestClock.adjust("100 millis")
      yield* breaker.run(Effect.void)
      yield* breaker.run(Effect.void)
      yield* breaker.force("open")
      const told = yield* Fiber.join(seen)
      assert.deepStrictEqual(
        told.map(({ from, to }) => `${from} ${to}`),
        ["closed open", "open half", "half closed", "closed forcedOpen"]
      )
    })
  )

  it.effect("OUTAGE-7 a person forces it open, or closed, and takes that back", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      yield* breaker.force("open")
      assert.instanceOf(yield* Effect.flip(breaker.run(Effect.void)), CircuitBreaker.CircuitOpen)
      yield* breaker.force("closed")
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* Effect.flip(breaker.run(failing)), "down")
      yield* breaker.force("none")
      yield* breaker.run(Effect.void)
    })
  )

  it.effect("many breakers do not come back at the same moment", () =>
    Effect.gen(function* () {
      const waits: Array<number> = []
      for (let i = 0; i < 20; i++) {
        const breaker = yield* CircuitBreaker.make(options)
        for (let n = 0; n < 3; n++) yield* Effect.flip(breaker.run(failing))
        waits.push(breaker.stateUnsafe().retryAfterMs)
      }
      assert.isAbove(new Set(waits).size, 15)
      assert.isTrue(waits.every((wait) => wait >= 50 && wait <= 100))
    }).pipe(Random.withSeed("probe storm"))
  )
})

describe("CircuitBreaker.httpClient", () => {
  /** A client that answers with each status in turn; 0: the connection is refused. */
  const answering = (statuses: Array<number>) => {
    const calls = { count: 0 }
    const client = HttpClient.make((request) => {
      calls.count += 1
      const status = statuses.shift() ?? 200
      if (status !== 0)
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("", { status })))
      const reason = new HttpClientError.TransportError({ request, cause: new Error("ECONNREFUSED") })
      return Effect.fail(new HttpClientError.HttpClientError({ reason }))
    })
    return { client, calls }
  }
  const request = HttpClientRequest.get("http://platform.test/")

  it.effect("OUTAGE-1 a refusal is an answer: no 4xx and no 500 opens it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make(options)
      const { client } = answering([401, 403, 404, 409, 422, 429, 400, 403, 403, 403, 500, 500, 500, 500])
      const guarded = yield* CircuitBreaker.httpClient(breaker, client)
      for (let i = 0; i < 14; i++) yield* guarded.execute(request)
      assert.strictEqual(breaker.stateUnsafe().phase, "closed")
    })
  )

  it.effect("OUTAGE-1 no connection, 502, 503 and 504 open it; then a call fails at once and says why", () =>
    Effect.gen(function* () {
      for (const status of [0, 502, 503, 504]) {
        const breaker = yield* CircuitBreaker.make(options)
        const { client, calls } = answering([status, status, status])
        const guarded = yield* CircuitBreaker.httpClient(breaker, client)
        for (let i = 0; i < 3; i++) yield* Effect.exit(guarded.execute(request))
        const exit = yield* Effect.exit(guarded.execute(request))
        assert.isTrue(Exit.isFailure(exit))
        const error = yield* Effect.flip(guarded.execute(request))
        assert(error.reason._tag === "TransportError")
        assert.instanceOf(error.reason.cause, CircuitBreaker.CircuitOpen)
        assert.strictEqual(calls.count, 3)
      }
    })
  )

  it.effect("is logged at the level of who made it, whatever that of its callers is", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const opened = (own: LogLevel.LogLevel, callers: LogLevel.LogLevel) =>
        Effect.gen(function* () {
          const breaker = yield* Effect.provideService(
            CircuitBreaker.make(options),
            References.MinimumLogLevel,
            own
          )
          const call = Effect.exit(breaker.run(Effect.fail("away")))
          for (let n = 0; n < 3; n++) yield* Effect.provideService(call, References.MinimumLogLevel, callers)
          assert.strictEqual(breaker.stateUnsafe().phase, "open")
          return lines.splice(0).length
        }).pipe(Effect.provide(noting(lines)))
      assert.strictEqual(yield* opened("None", "Info"), 0)
      assert.strictEqual(yield* opened("Warn", "None"), 1)
    })
  )
})
