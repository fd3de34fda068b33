import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { CallTimedOut, governed, TrustTracker } from "../src/index.ts"
import { type GovernedStreamOptions, governedStream } from "../src/stream.ts"
import { agent, email, flush, fresh, model, ready, score, secret, told } from "./Ready.ts"

describe("streams", () => {
  const chunks = (...parts: ReadonlyArray<string>) => Stream.fromIterable(parts)

  it.effect("GOVERN-4 a stream is permitted before and settled at its end", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const stream = governedStream("chat", model, { estimate: { tokens: 100 } })((call) => {
        call.report({ tokens: 3 })
        return chunks("a ", "b ", "c")
      })
      assert.strictEqual((yield* Stream.runCollect(stream)).join(""), "a b c")
      assert.deepStrictEqual(yield* told, ["task_completed", "allow"])
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 3 })
    }).pipe(fresh())
  )

  it.effect("GOVERN-4 a stream that is left early is charged by its estimate", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const stream = governedStream("chat", model, { estimate: { tokens: 100 }, scan: false })(
        Stream.forever(Stream.succeed("x"))
      )
      yield* Stream.runCollect(Stream.take(stream, 3))
      assert.deepStrictEqual(yield* told, ["allow"])
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 100 })
    }).pipe(fresh())
  )

  it.effect("GOVERN-4 a secret split over chunks ends the stream before any of it is out", () =>
    Effect.gen(function* () {
      yield* ready()
      const out: Array<string> = []
      const half = Math.floor(secret.length / 2)
      const error = yield* governedStream(
        "chat",
        model
      )(chunks("the key: ", secret.slice(0, half), secret.slice(half), " and more")).pipe(
        Stream.runForEach((text) => Effect.sync(() => out.push(text))),
        Effect.flip
      )
      assert.strictEqual(error._tag, "PolicyViolation")
      assert.notInclude(out.join(""), secret.slice(0, half))
    }).pipe(fresh())
  )

  it.effect.prop(
    "GOVERN-4 what is no text keeps its place between the text",
    [Schema.Array(Schema.Union([Schema.Literals(["word ", "a. ", "line\n"]), Schema.Int]))],
    ([elements]) =>
      Effect.gen(function* () {
        yield* ready()
        const out = yield* Stream.runCollect(governedStream("chat", model)(Stream.fromIterable(elements)))
        const flat = (all: ReadonlyArray<string | number>) =>
          all.flatMap((one): ReadonlyArray<string | number> => (typeof one === "string" ? [...one] : [one]))
        assert.deepStrictEqual(flat([...out]), flat(elements))
      }).pipe(fresh()),
    { arbitrary: { runs: 20 } }
  )

  it.effect("GOVERN-4 what follows a long text comes after it, and what is redacted keeps it behind", () =>
    Effect.gen(function* () {
      yield* ready()
      const long = "word ".repeat(2000)
      const stream = governedStream(
        "chat",
        model
      )(Stream.make<Array<string | number>>(long, 1, `${email} `, 2))
      const out = [...(yield* Stream.runCollect(stream))]
      assert.deepStrictEqual(
        out.filter((one) => typeof one === "number"),
        [1, 2]
      )
      const before = (n: number) => out.slice(0, out.indexOf(n)).filter((one) => typeof one === "string")
      assert.strictEqual(before(1).join("").slice(0, long.length), long)
      assert.include(before(2).join(""), "[email")
      assert.notInclude(out.join(""), email)
    }).pipe(fresh())
  )

  it.effect("POLICY-8 a secret in a stream is redacted where here is only observed, and costs nothing", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      platform.enforcement = "observe"
      const text = yield* Stream.runCollect(governedStream("chat", model)(chunks("the key: ", secret, " ok")))
      assert.notInclude(text.join(""), secret)
      assert.include(text.join(""), " ok")
      assert.include(yield* told, "task_completed")
    }).pipe(fresh())
  )

  it.effect("GOVERN-4 a scanned stream that is left early has told nothing of what was held back", () =>
    Effect.gen(function* () {
      yield* ready()
      const out = yield* Stream.runCollect(
        Stream.take(governedStream("chat", model)(Stream.make<Array<string | number>>(1, secret, 2)), 1)
      )
      assert.deepStrictEqual(out, [1])
    }).pipe(fresh())
  )
})

describe("a stream that DLP blocks", () => {
  const leaking = (options: GovernedStreamOptions = {}) =>
    Stream.make("the key: ", secret).pipe(
      governedStream("chat", model, options),
      Stream.runDrain,
      Effect.flip
    )

  it.effect("TRUST-5 is a violation that costs five, once a minute, and no failure of its task", () =>
    Effect.gen(function* () {
      const platform = yield* ready()
      assert.strictEqual((yield* leaking())._tag, "PolicyViolation")
      assert.strictEqual((yield* leaking())._tag, "PolicyViolation")
      assert.deepStrictEqual(yield* told, ["policy_violation", "allow", "allow"])
      assert.strictEqual(yield* score, 35)
      assert.strictEqual(yield* (yield* TrustTracker).expected, 35)
      const [violation, entry] = platform.events
      assert.include(String(violation?.["context"]), '"policy":"api_key"')
      assert.include(String(entry?.["context"]), '"outcome":"blocked"')
      assert.strictEqual(entry?.["reason"], "Content blocked: api_key")
      assert.notInclude(JSON.stringify(platform.events), secret)
      yield* TestClock.adjust("61 seconds")
      yield* leaking()
      yield* flush
      assert.strictEqual(yield* score, 30)
    }).pipe(fresh())
  )

  it.effect("TRUST-5 costs no trust where a user wrote it", () =>
    Effect.gen(function* () {
      yield* ready()
      yield* leaking({ origin: "user" })
      assert.deepStrictEqual(yield* told, ["allow"])
      assert.strictEqual(yield* score, 40)
    }).pipe(fresh())
  )

  it.effect("GOVERN-4 is charged by its estimate, as one that is aborted", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      yield* leaking({ estimate: { tokens: 100 } })
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 100 })
    }).pipe(fresh())
  )

  it.effect("TRUST-5 a stream whose work is denied a call of its own is no violation of the stream's", () =>
    Effect.gen(function* () {
      yield* ready()
      const inner = Effect.void.pipe(governed("mail", model, { content: secret }))
      yield* Stream.fromEffect(inner).pipe(governedStream("chat", model), Stream.runDrain, Effect.flip)
      assert.deepStrictEqual(yield* told, ["policy_violation", "deny", "task_failed", "allow"])
    }).pipe(fresh())
  )
})

describe("a stream with a time-out", () => {
  it.effect("GOVERN-4 TRUST-5 is settled after its time, also while nobody reads", () =>
    Effect.gen(function* () {
      const platform = yield* ready({ tokenLimitPerDay: 1000 })
      const options = { estimate: { tokens: 500 }, timeout: "10 seconds", scan: false } as const
      const stream = Stream.fromIterable(["one", "two"]).pipe(
        Stream.rechunk(1),
        governedStream("chat", model, options)
      )
      const pull = yield* Stream.toPull(stream)
      yield* pull
      yield* TestClock.adjust("10 seconds")
      yield* flush
      assert.deepInclude([...platform.reservations.values()][0], { state: "settled", tokens: 500 })
      assert.strictEqual(platform.actor(agent).score, 37)
      const late = yield* Effect.flip(pull)
      assert.instanceOf(late, CallTimedOut)
    }).pipe(Effect.scoped, fresh())
  )
})
