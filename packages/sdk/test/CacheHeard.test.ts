import { assert, describe, it } from "@effect/vitest"
import { Heard } from "../src/internal/CacheHeard.ts"

const suspension = {
  reason: "Agent is suspended",
  denial: {
    step: "agent",
    seen: "suspended",
    needed: "active",
    retryAfterMs: null,
    remedy: "operator",
    subjects: []
  }
} as const

describe("what was heard of actors", () => {
  it("OUTAGE-2 an answer of an earlier epoch lifts nothing", () => {
    const heard = new Heard("acme", "me")
    heard.changed("acme", "me", 7)
    heard.told("acme", "me", 6, null)
    assert.strictEqual(heard.statusOf("acme", "me"), "changed")
    heard.told("acme", "me", 7, suspension)
    assert.strictEqual(heard.statusOf("acme", "me"), suspension)
    heard.told("acme", "me", 8, null)
    assert.strictEqual(heard.statusOf("acme", "me"), "active")
    assert.strictEqual(heard.statusOf("another", "me"), "active")
  })

  it("OUTAGE-2 where the data of an organization went back, its answers lift what was heard, and no other's", () => {
    const heard = new Heard("acme", "me")
    for (const organization of ["acme", "another"])
      for (const actor of ["me", "changed"]) heard.changed(organization, actor, 900)
    heard.told("acme", "me", 901, suspension)
    heard.wentBack("acme")
    assert.strictEqual(heard.statusOf("acme", "me"), suspension)
    assert.strictEqual(heard.statusOf("acme", "changed"), "changed")
    for (const organization of ["acme", "another"])
      for (const actor of ["me", "changed"]) heard.told(organization, actor, 3, null)
    assert.strictEqual(heard.statusOf("acme", "me"), "active")
    assert.strictEqual(heard.statusOf("acme", "changed"), "active")
    assert.strictEqual(heard.statusOf("another", "me"), "changed")
    heard.changed("acme", "me", 5)
    heard.told("acme", "me", 4, null)
    assert.strictEqual(heard.statusOf("acme", "me"), "changed")
  })

  it("OUTAGE-2 of whom something was forgotten nothing is taken for unchanged, and the agent's own stays", () => {
    const heard = new Heard("acme", "me")
    heard.moved("acme", "me", "r1", "p1")
    heard.changed("acme", "first", 1)
    for (let i = 0; i < 1000; i++) heard.moved("acme", `other-${i}`, "r1", "p1")
    assert.strictEqual(heard.statusOf("acme", "first"), "changed")
    assert.isTrue(heard.hasMoved("acme", "first", "r2"))
    assert.isTrue(heard.hasMoved("acme", "me", "r1"))
    assert.isFalse(heard.hasMoved("acme", "me", "r2"))
    heard.told("acme", "first", 2, null)
    assert.strictEqual(heard.statusOf("acme", "first"), "active")
    for (let i = 0; i <= 10_000; i++) heard.moved("acme", "me", `r${i}`, "p1")
    assert.isTrue(heard.hasMoved("acme", "me", "another"))
  })

  it("OUTAGE-4 a permission that an answer has shown since is known, and no other of the resource", () => {
    const heard = new Heard("acme", "me")
    for (const permission of ["read", "write"]) heard.moved("acme", "me", "r1", permission)
    heard.shown("acme", "me", "r1", "read")
    assert.isTrue(heard.hasMoved("acme", "me", "r1"))
    heard.shown("acme", "me", "r1", "write")
    assert.isFalse(heard.hasMoved("acme", "me", "r1"))
    heard.shown("acme", "me", "r2", "write")
    heard.shown("acme", "another", "r1", "write")
    assert.isFalse(heard.hasMoved("acme", "me", "r2"))
  })
})
