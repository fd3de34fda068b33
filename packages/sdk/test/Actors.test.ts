import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Actors } from "../src/internal/Actors.ts"

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** Collects until so few are left; what was looked at in one turn of the event loop is kept for it. */
const settles = Effect.fnUntraced(function* (actors: Actors, atMost: number) {
  for (let turn = 0; turn < 200 && actors.size > atMost; turn++) {
    collect()
    yield* Effect.promise(() => new Promise(setImmediate))
  }
  return actors.size
})

it.live("CACHE-1 of very many actors those are remembered that are held, and the last heard of", () =>
  Effect.gen(function* () {
    const actors = new Actors(100)
    const held = actors.of("user-1", "user")
    held.score = 90
    const first = actors.of("user-2", "user")
    first.score = 80
    for (let n = 3; n <= 5_000; n++) {
      actors.of(`user-${n}`, "user").score = 50
      // Pushes go on telling of one of them.
      if (n % 50 === 0) actors.heard(first)
    }
    assert.strictEqual(yield* settles(actors, 101), 101)
    assert.strictEqual(actors.of("user-1", "user"), held)
    assert.strictEqual(actors.of("user-2", "user").score, 80)
    assert.strictEqual(actors.of("user-5000", "user").score, 50)
    assert.strictEqual(actors.of("user-3", "user").score, 40, "it was forgotten, and is new")
    assert.notStrictEqual(actors.of("user-1", "agent"), held)
  })
)
