/** Event buffers on files in memory, and what a process leaves there that is killed. */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { EventBuffer, type EventBufferOptions } from "../src/EventBuffer.ts"
import type { TrustInput } from "../src/events/Event.ts"
import * as Folder from "../src/WriteAheadFolder.ts"
import type { FakePlatform } from "./FakePlatform.ts"
import type { MemoryFiles } from "./MemoryFiles.ts"

export const directory = "/events"

export const trust = (n: number): TrustInput => ({ agentId: `agent-${n}`, eventType: "task_completed" })

export const agents = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `agent-${from + i}`)

/** A buffer in a scope of its own, to be closed by hand. */
export const start = Effect.fnUntraced(function* (
  platform: FakePlatform,
  options: EventBufferOptions & { readonly files: MemoryFiles }
) {
  const scope = yield* Scope.make()
  const layer = EventBuffer.layer({ directory, ...options }).pipe(Layer.provide(platform.layer))
  const context = yield* Layer.buildWithScope(layer, scope)
  return { events: Context.get(context, EventBuffer), close: Scope.close(scope, Exit.void) }
})

/** What the next process finds after this one was killed: all that was written, and logs whose owner is gone. */
export const killed = (files: MemoryFiles): MemoryFiles => {
  const next = files.crash()
  for (const name of next.list(directory)) {
    const log = Folder.parseLogName(name)
    if (log !== undefined)
      next.rename(`${directory}/${name}`, `${directory}/${Folder.logName(log.epoch, Folder.nobody)}`)
  }
  return next
}
