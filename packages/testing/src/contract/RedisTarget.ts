/**
 * The implementations of Redis that the contract runs on: in this process, the
 * same over its port, and a real server. Each comes with a way to lose its
 * connections, and, where it has a port, with its address.
 */
import { Redis } from "@agion/redis"
import { RedisMemory } from "@agion/redis-memory"
import { Context, Effect, Layer } from "effect"
import * as FaultProxy from "../FaultProxy.ts"
import * as RedisServer from "../RedisServer.ts"

/** What a test needs beyond Redis' services. */
export class RedisTarget extends Context.Service<
  RedisTarget,
  {
    /** The port of the protocol; `undefined` in process. */
    readonly port: number | undefined
    /** Loses every connection once. */
    readonly cut: Effect.Effect<void>
  }
>()("@agion/testing/RedisTarget") {}

/** A target with its services. */
export type Target = Layer.Layer<Redis.Services | RedisTarget>

/** redis-memory in this process. */
export const inProcess = (): Target =>
  Layer.effect(
    RedisTarget,
    Effect.map(RedisMemory, (memory) => RedisTarget.of({ port: undefined, cut: memory.disconnect }))
  ).pipe(Layer.provideMerge(RedisMemory.layer))

const overPort = (port: number, cut: Effect.Effect<void>) =>
  Layer.merge(
    Redis.layer({ url: `redis://127.0.0.1:${port}`, commandTimeout: "5 seconds", heartbeat: "200 millis" }),
    Layer.succeed(RedisTarget, RedisTarget.of({ port, cut }))
  )

/** redis-memory over its port, through the same client as a real server. */
export const memoryServer = (): Target =>
  Layer.unwrap(Effect.map(RedisMemory, (memory) => overPort(memory.port ?? 0, memory.disconnect))).pipe(
    Layer.provide(Layer.orDie(RedisMemory.layerServer()))
  )

/** A real `redis-server`, behind a proxy that can cut the connections. */
export const realServer = (): Target =>
  Layer.unwrap(
    Effect.gen(function* () {
      const server = yield* RedisServer.RedisServer
      const proxy = yield* FaultProxy.make({ port: server.port })
      return overPort(proxy.port, proxy.cut)
    })
  ).pipe(Layer.provide(RedisServer.layer()))
