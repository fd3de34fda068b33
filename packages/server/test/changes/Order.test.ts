import type { EpochMessage } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Order from "../../src/changes/Order.ts"

const change = (epoch: number, previous = epoch - 1): Order.Announced => {
  const message: EpochMessage = { previous, epoch, kind: "permission", ids: [`${epoch}`], timestamp: "" }
  return { organizationId: "org", message }
}

/** An order, and what it has told: `-` stands before what is late, `!` before an order to drop everything. */
const recorded = (capacity = 100) => {
  const told: Array<string> = []
  const order = Order.make(({ organizationId, message: { epoch, kind } }, late) => {
    // Who is told asks for the epoch: it must be there already.
    assert.isTrue(late || (order.applied(organizationId) ?? epoch) === epoch)
    told.push(`${late ? "-" : ""}${kind === "organization" ? "!" : ""}${epoch}`)
  }, capacity)
  return { order, told }
}

describe("the order of changes", () => {
  it("FRESH-2 an own change after one of another replica waits for it", () => {
    const { order, told } = recorded()
    order.begin("org", 14)
    assert.isFalse(order.take(change(16)))
    assert.deepStrictEqual([told, order.applied("org")], [[], 14])
    assert.isTrue(order.take(change(15)))
    assert.isTrue(order.take(change(16)))
    assert.isTrue(order.take(change(15)))
    assert.deepStrictEqual([told, order.applied("org")], [["15", "16"], 16])
  })

  it("whoever reads before the beginning hears of what came before, and nobody else", () => {
    const { order, told } = recorded()
    assert.isTrue(order.begin("org", 15))
    assert.isTrue(order.begin("org", 16))
    assert.isFalse(order.begin("org", 14))
    order.take(change(14))
    assert.deepStrictEqual(told, ["-14"])
  })

  it("the first change of a process makes everybody drop what is being read", () => {
    const { order, told } = recorded()
    order.take(change(16))
    assert.deepStrictEqual(told, ["!15", "16"])
    const fresh = recorded()
    fresh.order.take(change(1))
    assert.deepStrictEqual(fresh.told, ["1"])
  })

  it("what is forgotten is dropped", () => {
    const { order, told } = recorded(1)
    order.begin("org", 7)
    order.begin("other", 3)
    assert.deepStrictEqual([told, order.applied("org"), order.applied("other")], [["!7"], undefined, 3])
    order.forget("")
    assert.deepStrictEqual([told, order.applied("other")], [["!7", "!3"], undefined])
  })

  it("a database that went back is followed back", () => {
    const { order, told } = recorded()
    order.begin("org", 900)
    order.jump("org", 3, "")
    order.take(change(4))
    assert.deepStrictEqual([told, order.applied("org")], [["!3", "4"], 4])
  })

  const Arrivals = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 })))

  it.prop(
    "FRESH-2 in whatever order changes arrive they are told epoch after epoch, once, with none left out",
    [Arrivals],
    ([arrivals]) => {
      const { order, told } = recorded()
      order.begin("org", 0)
      const outbox = Math.max(0, ...arrivals)
      for (const epoch of arrivals) {
        const before = order.applied("org") ?? 0
        // The feed: what lies between is read.
        if (order.take(change(epoch))) assert.isTrue(epoch <= before + 1)
        else
          for (let missing = before + 1; missing <= epoch; missing++)
            assert.isTrue(order.take(change(missing)))
      }
      assert.deepStrictEqual(
        told,
        Array.from({ length: outbox }, (_, n) => `${n + 1}`)
      )
    }
  )
})
