/** A replica in a process of its own, to be killed: `node replica.ts DATABASE_URL REDIS_URL`. Says `ready` once it reads. */
import { writeSync } from "node:fs"
import { Redis } from "@agion/redis"
import { Effect, Layer } from "effect"
import { live } from "./Live.ts"

const [url = "", redis = ""] = process.argv.slice(2)

const ready = Layer.effectDiscard(Effect.sync(() => writeSync(1, "ready\n")))

Effect.runFork(
  Layer.launch(
    ready.pipe(Layer.provide(live({ _tag: "Postgres", url })), Layer.provide(Redis.layer({ url: redis })))
  )
)
