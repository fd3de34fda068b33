import { PolicySet } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

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

  it("POLICY-2 calls nothing shadowed whose alert or record would be lost", () => {
    const low = "actor.trust_score < 10"
    const wide = "actor.trust_score < 20"
    const two = (a: PolicySet.Level, b: PolicySet.Level): ReadonlyArray<string> =>
      found(rule(low, { enforcementLevel: a }), rule(wide, { enforcementLevel: b }))
    assert.deepEqual(two("critical", "hard"), [])
    assert.deepEqual(two("soft", "advisory"), [])
    assert.deepEqual(two("hard", "critical"), ["shadowed p1 p2"])
    assert.deepEqual(two("advisory", "soft"), ["shadowed p1 p2"])
    assert.deepEqual(
      found(rule(low, { enforcementLevel: "soft" }), rule(wide, { enforcement: "require_approval" })),
      []
    )
  })

  it("POLICY-4 calls nothing shadowed that decides by its failure where the other does not", () => {
    assert.deepEqual(
      found(
        rule("actor.location == 'eu' && actor.role == 'r'"),
        rule("has(actor.location) && actor.location == 'eu'")
      ),
      []
    )
    assert.deepEqual(
      found(
        rule("has(actor.location) && actor.location == 'eu' && actor.type == 'agent'"),
        rule("has(actor.location) && actor.location == 'eu'")
      ),
      ["shadowed p1 p2"]
    )
    assert.deepEqual(
      found(
        rule("has(actor.location) && actor.location == 'eu'"),
        rule("has(actor.location) && actor.location in ['eu', 'us']")
      ),
      ["shadowed p1 p2"]
    )
  })

  const messages = (draft: Draft): ReadonlyArray<string> =>
    PolicySet.findings(compiled([draft])).map((f) => f.message)

  it("POLICY-4 says that what never matches decides where it cannot be evaluated", () => {
    assert.deepEqual(messages(rule("actor.role == 'a' && actor.role == 'b'")), [
      "the rule never matches: no input satisfies all its conditions; it decides (deny) only where it cannot be evaluated"
    ])
    assert.deepEqual(messages({ expr: "actor.trust_score >= 0" }), [
      "the requirement always holds: it is violated only where it cannot be evaluated"
    ])
    assert.deepEqual(messages(rule("false")), [
      "the rule never matches: no input satisfies all its conditions"
    ])
  })

  it("finds a scope and a condition that exclude each other", () => {
    const scope = { resourceTypes: ["database"] }
    assert.deepEqual(found(rule("resource.resource_type == 'tool'", { scope })), ["never_matches p1"])
    assert.include(
      messages(rule("resource.resource_type == 'tool'", { scope }))[0],
      "its scope and its condition"
    )
    assert.deepEqual(found({ expr: "resource.resource_type != 'database'", scope }), ["never_matches p1"])
    assert.deepEqual(found(rule("resource.resource_type != 'tool'", { scope })), [])
    assert.deepEqual(found(rule("agent_id == 'bot-1'", { scope: { agents: ["bot-*"] } })), [])
    assert.deepEqual(found(rule("agent_id == 'x'", { scope: { agents: ["bot-*"] } })), ["never_matches p1"])
  })

  const atoms = [
    "actor.role == 'a'",
    "actor.role != 'a'",
    "has(actor.role)",
    "!has(actor.location)",
    "actor.location in ['eu', 'us']",
    "actor.trust_score < 20",
    "actor.trust_score >= 10",
    "context.n > 5",
    "context.a.b == 'x'",
    "has(context.a.b)",
    "request.content == ''",
    "true"
  ]
  const Condition = Schema.Struct({
    first: Schema.Literals(atoms),
    by: Schema.Literals(["&&", "||", "&& !"]),
    second: Schema.Literals(atoms),
    third: Schema.Literals(["", " && has(actor.role)", " || actor.location == 'eu'"])
  })
  const One = Schema.Struct({
    condition: Condition,
    enforcement: Schema.Literals(["deny", "warn", "require_approval", "requirement"]),
    enforcementLevel: Schema.Literals(["advisory", "soft", "hard", "critical"])
  })
  const inputs: ReadonlyArray<PolicySet.PolicyInput> = [undefined, "a", "b", 5].flatMap((role) =>
    [undefined, "eu", "us", "x"].flatMap((location) =>
      [undefined, 5, 15, 50].flatMap((trust_score) =>
        [{}, { n: 3 }, { n: 7 }, { n: "x", a: "x" }, { n: 7, a: { b: "x" } }, { a: { b: 5 } }].flatMap(
          (context) =>
            ["", "y"].map((content) => ({
              actor: { role, location, trust_score },
              context,
              request: { content }
            }))
        )
      )
    )
  )
  const outcome = (verdict: PolicySet.Verdict): unknown => [
    verdict.decision,
    verdict.violations.length > 0,
    verdict.matched.some((m) => m.alert)
  ]

  it.prop(
    "POLICY-4 what a finding says is so on every input, those with absent fields too",
    [One, One],
    ([a, b]) => {
      const drafts = [a, b].map(({ condition: c, enforcement, enforcementLevel }) => ({
        expr: `(${c.first} ${c.by}(${c.second}))${c.third}`,
        enforcementLevel,
        ...(enforcement === "requirement" ? {} : { enforcement })
      }))
      const set = compiled(drafts)
      for (const f of PolicySet.findings(set)) {
        const at = Number(f.policy.id) - 1
        const rest = compiled(drafts.filter((_, i) => i !== at))
        for (const input of inputs) {
          const verdict = set.evaluate(input)
          const own = verdict.matched.find((m) => m.id === f.policy.id)
          const told = `${f.kind}: ${JSON.stringify([drafts, f, input])}`
          if (f.kind === "shadowed") assert.deepEqual(outcome(verdict), outcome(rest.evaluate(input)), told)
          if (f.kind === "never_matches" && drafts[at]?.enforcement !== undefined)
            assert.isTrue(
              own === undefined || (own.error !== undefined && f.message.includes("evaluated")),
              told
            )
          if (f.kind === "never_matches" && drafts[at]?.enforcement === undefined) assert.isDefined(own, told)
          if (f.kind === "always_true" && drafts[at]?.enforcement === undefined)
            assert.isTrue(
              own === undefined || (own.error !== undefined && f.message.includes("evaluated")),
              told
            )
        }
      }
    },
    { arbitrary: { runs: 300 } }
  )

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
