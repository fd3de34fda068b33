import { PolicySet } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"

type Draft = Partial<PolicySet.Policy> & { readonly expr: string }

const compiled = (policies: ReadonlyArray<Draft>): PolicySet.PolicySet => {
  const result = PolicySet.compileSync(policies.map((p, i) => ({ id: i + 1, name: `p${i + 1}`, ...p })))
  if (!result.ok) throw new Error(result.errors.map((e) => e.message).join("\n"))
  return result.set
}

/** `kind policy other` of every finding, after its witness was replayed. */
const found = (...policies: ReadonlyArray<Draft>): ReadonlyArray<string> => {
  const set = compiled(policies)
  return PolicySet.findings(set).map((f) => {
    const ids = set.evaluate(f.witness).evaluatedIds()
    assert.include(ids, f.policy.id, "the witness is in the scope of the policy")
    const matched = set.evaluate(f.witness).matched
    for (const m of matched) assert.isUndefined(m.error, `the witness fails on ${m.name}: ${m.message}`)
    const fires = (id: string | number | undefined): boolean => matched.some((m) => m.id === id)
    const isRule = set.policies.find((p) => p.id === f.policy.id)?.enforcement !== undefined
    if (f.kind === "never_matches") assert.strictEqual(fires(f.policy.id), !isRule)
    if (f.kind === "always_true") assert.strictEqual(fires(f.policy.id), isRule)
    if (f.kind === "shadowed") assert.isTrue(fires(f.policy.id) && fires(f.other?.id))
    if (f.kind === "contradicts" && isRule) assert.isTrue(fires(f.policy.id) && fires(f.other?.id))
    if (f.kind === "contradicts" && !isRule) assert.isTrue(!fires(f.policy.id) && fires(f.other?.id))
    return `${f.kind} ${f.policy.name}${f.other === undefined ? "" : ` ${f.other.name}`}`
  })
}

const rule = (expr: string, more: Partial<PolicySet.Policy> = {}): Draft => ({
  expr,
  enforcement: "deny",
  ...more
})

describe("findings", () => {
  it("finds what never matches, with a witness that replays", () => {
    assert.deepEqual(found(rule("actor.trust_score > 80 && actor.trust_score < 20")), ["never_matches p1"])
    assert.deepEqual(found(rule("request.tokens > 1 && request.tokens < 2")), ["never_matches p1"])
    assert.deepEqual(found(rule("resource.status == 'active' && resource.status == 'error'")), [
      "never_matches p1"
    ])
    assert.deepEqual(found(rule("resource.risk_level == 'extreme'")), ["never_matches p1"])
    assert.deepEqual(found(rule("actor.trust_score > 100")), ["never_matches p1"])
    assert.deepEqual(found({ expr: "resource.risk_level in ['none'] && actor.id == 'x'" }), [
      "never_matches p1"
    ])
    assert.deepEqual(found(rule("!has(actor.role) && actor.role == 'x'")), ["never_matches p1"])
  })

  it("finds what is always true", () => {
    assert.deepEqual(found({ expr: "actor.trust_score >= 0" }), ["always_true p1"])
    assert.deepEqual(found({ expr: "resource.health_status != 'sick'" }), ["always_true p1"])
    assert.deepEqual(found({ expr: "actor.trust_score < 50 || actor.trust_score >= 50" }), ["always_true p1"])
    assert.deepEqual(found(rule("true")), ["always_true p1"])
  })

  it("finds what another shadows, the lower priority first", () => {
    assert.deepEqual(
      found(rule("actor.trust_score < 20"), rule("actor.trust_score < 40", { priority: -1 })),
      ["shadowed p1 p2"]
    )
    assert.deepEqual(
      found({ expr: "actor.trust_score >= 40" }, { expr: "actor.trust_score >= 60", priority: 9 }),
      ["shadowed p1 p2"]
    )
    const same = rule("request.tool == 'shell'")
    assert.deepEqual(found({ ...same, priority: 1 }, same), ["shadowed p2 p1"])
    assert.deepEqual(
      found(
        rule("actor.trust_score < 20", { scope: { agents: ["bot-1"] } }),
        rule("actor.trust_score < 40", { scope: { agents: ["bot-*"] } })
      ),
      ["shadowed p1 p2"]
    )
  })

  it("is silent where the shadow is not complete", () => {
    assert.deepEqual(
      found(rule("actor.trust_score < 40"), rule("actor.trust_score < 20", { enforcement: "warn" })),
      ["shadowed p2 p1"]
    )
    assert.deepEqual(
      found(rule("actor.trust_score < 40", { enforcement: "warn" }), rule("actor.trust_score < 20")),
      []
    )
    assert.deepEqual(
      found(rule("actor.trust_score < 20"), rule("actor.trust_score < 40", { scope: { agents: ["bot-*"] } })),
      []
    )
    assert.deepEqual(
      found(rule("actor.trust_score < 20"), rule("actor.trust_score < 40 && request.tool == 'x'")),
      []
    )
  })

  it("finds contradictions", () => {
    assert.deepEqual(
      found(
        rule("resource.risk_level == 'low'", { enforcement: "allow" }),
        rule("resource.risk_level != 'high'")
      ),
      ["contradicts p1 p2"]
    )
    assert.deepEqual(found({ expr: "actor.trust_score > 80" }, { expr: "actor.trust_score < 20" }), [
      "contradicts p1 p2"
    ])
    assert.deepEqual(
      found(
        { expr: "actor.tier == 'admin'", scope: { actions: ["write"] } },
        { expr: "actor.tier == 'basic'", scope: { actions: ["read"] } }
      ),
      []
    )
  })

  it("is silent about what it cannot decide", () => {
    for (const expr of [
      "request.content.contains('a') && !request.content.contains('a')",
      "context.n != 5 || context.n != 6",
      "actor.trust_score > resource.trust_tier_required",
      "size(actor.roles) > 3 && size(actor.roles) < 2",
      "actor.trust_score > 50 ? true : false"
    ]) {
      assert.deepEqual(found(rule(expr)), [], expr)
    }
  })
})
