import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { Server } from "node:http"
import { createServer } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schedule } from "effect"
import { CircuitBreaker, Health, HttpPool } from "../src/index.ts"
import { AgionTest, TestPlatform } from "../src/testing/index.ts"
import { noting } from "./Ready.ts"

/** A port that nothing listens on at the moment. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const get = (port: number, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    const text = await response.text()
    return { status: response.status, body: text === "" ? {} : JSON.parse(text) }
  })

const served = (port: number) => Health.layerHttp({ port }).pipe(Layer.provideMerge(AgionTest.layer()))

describe("the health of an agent over HTTP", () => {
  it.live("says that it is well and ready, and 503 with what is wrong", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      yield* Effect.gen(function* () {
        const platform = yield* TestPlatform
        yield* get(port, "/ready").pipe(
          Effect.repeat({ until: ({ status }) => status === 200, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("10 seconds")
        )
        const well = yield* get(port, "/health")
        assert.strictEqual(well.status, 200)
        assert.deepInclude(well.body, { status: "ok", ready: true, agentId: "agent-1" })
        platform.line(false)
        const degraded = yield* get(port, "/health")
        assert.strictEqual(degraded.status, 503)
        assert.include(degraded.body.problems.join(), "pushes are not heard")
        assert.strictEqual((yield* get(port, "/ready")).status, 200)
        assert.strictEqual((yield* get(port, "/other")).status, 404)
      }).pipe(Effect.provide(served(port)))
      // It ends with its layer.
      const exit = yield* Effect.exit(Effect.tryPromise(() => fetch(`http://127.0.0.1:${port}/health`)))
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.live("answers, and ends nothing, where the state cannot be read; a query changes nothing", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      let isBroken = false
      const breakable = Layer.effect(
        Health,
        Effect.map(Health, ({ now }) =>
          Health.of({
            now: Effect.suspend(() => (isBroken ? Effect.die(new Error("an adapter threw")) : now))
          })
        )
      ).pipe(Layer.provideMerge(AgionTest.layer()))
      const unhandled: Array<unknown> = []
      const hear = (error: unknown) => unhandled.push(error)
      process.on("unhandledRejection", hear)
      yield* Effect.gen(function* () {
        assert.notStrictEqual((yield* get(port, "/health?verbose=1")).status, 404)
        isBroken = true
        for (const path of ["/health", "/ready?x"]) {
          const { body, status } = yield* get(port, path)
          assert.strictEqual(status, 503)
          assert.include(body.problems.join(), "cannot be read")
          assert.notInclude(JSON.stringify(body), "adapter")
        }
      }).pipe(
        Effect.provide(Health.layerHttp({ port }).pipe(Layer.provideMerge(breakable))),
        Effect.ensuring(Effect.sync(() => process.off("unhandledRejection", hear)))
      )
      assert.deepStrictEqual(unhandled, [])
    })
  )

  it.effect("says of a breaker that somebody forced what it is", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ name: "platform" })
      const problems = Effect.gen(function* () {
        return (yield* (yield* Health).now).problems.join()
      })
      yield* Effect.gen(function* () {
        yield* breaker.force("closed")
        assert.notInclude(yield* problems, "the platform")
        yield* breaker.force("open")
        assert.include(yield* problems, "its breaker is forced open")
      }).pipe(
        Effect.provide(
          AgionTest.layer().pipe(Layer.provide(Layer.succeed(HttpPool.PlatformCircuit, breaker)))
        )
      )
    })
  )

  it.live("goes on where connections cannot be taken for a while, and ends no program", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const servers = new Set<Server>()
      const lines: Array<string> = []
      const onRequest = (message: unknown) => servers.add((message as { readonly server: Server }).server)
      subscribe("http.server.request.start", onRequest)
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* get(port, "/other")).status, 404)
        assert.strictEqual(servers.size, 1)
        for (const server of servers)
          for (let n = 0; n < 3; n++) server.emit("error", new Error("accept ENOBUFS: injected"))
        assert.strictEqual((yield* get(port, "/other")).status, 404)
        assert.lengthOf(lines, 3)
      }).pipe(
        Effect.provide(served(port).pipe(Layer.provide(noting(lines)))),
        Effect.ensuring(Effect.sync(() => unsubscribe("http.server.request.start", onRequest)))
      )
    })
  )

  it.live("does not start on a port that is taken, and says so", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const second = Effect.exit(Effect.scoped(Effect.asVoid(Layer.build(served(port)))))
      const exit = yield* Effect.provide(second, served(port))
      assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "it started", "EADDRINUSE")
    })
  )
})
