import type { EpochMessage } from "@agion/domain"
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { merged, permissionsOf } from "../../src/stream/Frames.ts"

const Kind = Schema.Literals(["permission", "trust", "agent", "resource", "policy", "heartbeat"])
const Step = Schema.Tuple([Kind, Schema.Array(Schema.Literals(["a", "b", "c"])).check(Schema.isMaxLength(3))])

/** What a client that holds epoch 0 drops, and where it ends; `everything` once it must drop all. */
const follow = (messages: ReadonlyArray<EpochMessage>) => {
  const dropped = new Set<string>()
  let held = 0
  for (const message of messages) {
    assert.strictEqual(message.previous, held, "no gap")
    held = message.epoch
    if (message.kind !== "heartbeat" && message.ids.length === 0) dropped.add("everything")
    for (const id of message.ids) dropped.add(`${message.kind} ${id}`)
  }
  return { held, dropped: [...dropped].sort() }
}

it.prop(
  "FRESH-2 merged messages drop what each of them on its own drops, and end at the same epoch",
  [Schema.Array(Step)],
  ([steps]) => {
    let epoch = 0
    const messages = steps.map(([kind, ids]): EpochMessage => {
      const previous = epoch
      if (kind !== "heartbeat") epoch += 1
      return { previous, epoch, kind, ids: kind === "heartbeat" ? [] : ids, timestamp: "" }
    })
    const fewer = merged(messages)
    assert.isAtMost(fewer.length, messages.length)
    assert.deepStrictEqual(follow(fewer), follow(messages))
  }
)

it("an actor's permissions are found among the triples of a change", () => {
  const message: EpochMessage = {
    previous: 0,
    epoch: 1,
    kind: "permission",
    ids: ["p1", "a", "r1", "p2", "b", "r1", "p3", "a", "a"],
    timestamp: ""
  }
  assert.deepStrictEqual(permissionsOf(message, "a"), ["p1", "p3"])
  assert.deepStrictEqual(permissionsOf({ ...message, kind: "trust" }, "a"), [])
})
