import { PolicySet } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"

type Policy = PolicySet.Policy

const made = (
  ...policies: ReadonlyArray<Partial<Policy> & { readonly expr: string }>
): PolicySet.PolicySet => {
  const result = PolicySet.compileSync(policies.map((p, i) => ({ id: i + 1, name: `policy ${i + 1}`, ...p })))
  if (!result.ok) throw new Error(result.errors.map((e) => `${e.policyName}: ${e.message}`).join("\n"))
  return result.set
}

const decide = (
  policy: Partial<Policy> & { readonly expr: string },
  input: PolicySet.PolicyInput = {}
): string => made(policy).evaluate(input).decision

describe("PolicySet", () => {
  it("POLICY-1 a requirement allows when it is true and denies when it is false", () => {
    const expr = "actor.trust_score >= 60"
    assert.strictEqual(decide({ expr }, { actor: { trust_score: 60 } }), "allow")
    assert.strictEqual(decide({ expr }, { actor: { trust_score: 59.9 } }), "deny")
  })

  it("POLICY-1 a rule decides when it matches and is silent otherwise", () => {
    for (const enforcement of ["allow", "deny", "warn", "require_approval"] as const) {
      assert.strictEqual(decide({ expr: "true", enforcement }), enforcement)
      assert.strictEqual(decide({ expr: "false", enforcement }), "allow")
    }
    const silent = made({ expr: "false", enforcement: "allow" }).evaluate({})
    assert.deepEqual(silent.matched, [])
  })

  it("POLICY-1 a requirement E decides as the rule !(E) with enforcement deny", () => {
    const inputs = [{ actor: { trust_score: 10 } }, { actor: { trust_score: 90 } }, { actor: {} }, {}]
    for (const input of inputs) {
      assert.strictEqual(
        decide({ expr: "actor.trust_score > 50" }, input),
        decide({ expr: "!(actor.trust_score > 50)", enforcement: "deny" }, input)
      )
    }
  })

  it("POLICY-1 a scope that names a resource in capitals holds for it", () => {
    const id = "abcdef00-0000-4000-8000-00000000000a"
    for (const entry of [id.toUpperCase(), "ABCDEF00-*", id]) {
      const scope = { resourceIds: [entry] }
      assert.strictEqual(decide({ expr: "false", scope }, { resource: { id } }), "deny")
    }
  })

  it("POLICY-1 a scope is a conjunction of lists, with globs, and empty lists restrict nothing", () => {
    const scope = {
      agents: ["bot-*", "ci"],
      actions: [],
      resourceTypes: ["database"],
      resourceIds: ["*"],
      tags: ["prod", "eu-?"]
    }
    const set = made({ expr: "false", scope })
    const count = (agent_id: string, resource_type: string, tags: ReadonlyArray<string>): number =>
      set.evaluate({ agent_id, resource: { id: "r1", resource_type, tags } }).evaluated
    assert.strictEqual(count("bot-7", "database", ["prod"]), 1)
    assert.strictEqual(count("ci", "database", ["x", "eu-1"]), 1)
    assert.strictEqual(count("bot", "database", ["prod"]), 0)
    assert.strictEqual(count("bot-7", "api", ["prod"]), 0)
    assert.strictEqual(count("bot-7", "database", ["eu-12"]), 0)
    assert.strictEqual(count("bot-7", "database", []), 0)
  })

  it("POLICY-1 a scope looks at actor.id and request.action when agent_id and action are absent", () => {
    const set = made({ expr: "false", scope: { agents: ["a"], actions: ["use"] } })
    assert.strictEqual(set.evaluate({ actor: { id: "a" }, request: { action: "use" } }).decision, "deny")
    assert.strictEqual(set.evaluate({ agent_id: "b", actor: { id: "a" }, action: "use" }).decision, "allow")
  })

  it("POLICY-1 only active policies are evaluated, and all are compiled", () => {
    for (const status of ["draft", "inactive", "archived"] as const) {
      assert.strictEqual(decide({ expr: "false", status }), "allow")
      assert.isFalse(PolicySet.compileSync([{ id: 1, name: "x", status, expr: "nope" }]).ok)
    }
  })

  it("POLICY-2 the level weakens and never strengthens", () => {
    const table: ReadonlyArray<readonly [PolicySet.Enforcement | undefined, ReadonlyArray<string>]> = [
      [undefined, ["warn", "warn", "deny", "deny"]],
      ["deny", ["warn", "warn", "deny", "deny"]],
      ["require_approval", ["warn", "warn", "require_approval", "require_approval"]],
      ["warn", ["warn", "warn", "warn", "warn"]],
      ["allow", ["allow", "allow", "allow", "allow"]]
    ]
    for (const [enforcement, wanted] of table) {
      const got = PolicySet.levels.map((enforcementLevel) =>
        decide({ expr: enforcement === undefined ? "false" : "true", enforcement, enforcementLevel })
      )
      assert.deepEqual(got, wanted)
    }
  })

  it("POLICY-2 soft records a violation, advisory does not, critical also alerts", () => {
    const reason = (enforcementLevel: PolicySet.Level): PolicySet.Reason | undefined =>
      made({ expr: "false", enforcementLevel }).evaluate({}).matched[0]
    assert.deepEqual(
      PolicySet.levels.map((l) => [reason(l)?.violation, reason(l)?.alert]),
      [
        [false, false],
        [true, false],
        [true, false],
        [true, true]
      ]
    )
    assert.lengthOf(made({ expr: "false", enforcementLevel: "soft" }).evaluate({}).violations, 1)
  })

  it("POLICY-3 deny wins over approval over warn over allow, in any order and priority", () => {
    const effects = ["allow", "warn", "require_approval", "deny"] as const
    const orders = [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1],
      [1, 3, 0, 2]
    ]
    for (let strongest = 0; strongest < effects.length; strongest++) {
      for (const order of orders) {
        const policies = order
          .filter((i) => i <= strongest)
          .map((i, at) => ({ expr: "true", enforcement: effects[i], priority: at * 10 }))
        assert.strictEqual(made(...policies).evaluate({}).decision, effects[strongest])
      }
    }
  })

  it("POLICY-3 reasons stand in priority order, whatever the order of the policies", () => {
    const policies = [5, 1, 9, 3, 7].map((priority) => ({ name: `p${priority}`, expr: "false", priority }))
    const names = (list: ReadonlyArray<Partial<Policy> & { readonly expr: string }>): ReadonlyArray<string> =>
      made(...list)
        .evaluate({})
        .reasons.map((r) => r.name)
    assert.deepEqual(names(policies), ["p9", "p7", "p5", "p3", "p1"])
    assert.deepEqual(names([...policies].reverse()), ["p9", "p7", "p5", "p3", "p1"])
  })

  it("POLICY-4 an expression that fails is a violation at its own level, called a policy error", () => {
    const verdict = made({ expr: "actor.location == 'eu'" }).evaluate({ actor: {} })
    assert.strictEqual(verdict.decision, "deny")
    assert.strictEqual(verdict.reasons[0]?.message, "policy error: `actor.location` is absent")
    assert.strictEqual(verdict.reasons[0]?.error?.code, "no_such_field")
    assert.strictEqual(decide({ expr: "actor.location == 'eu'", enforcementLevel: "soft" }), "warn")
    assert.strictEqual(decide({ expr: "actor.location == 'eu'" }, { actor: { location: 5 } }), "deny")
    assert.strictEqual(decide({ expr: "context.flag" }, { context: { flag: "yes" } }), "deny")
  })

  it("POLICY-4 a rule that fails decides as if it had matched; an allow rule that fails warns", () => {
    const expr = "context.n > 1"
    assert.strictEqual(decide({ expr, enforcement: "deny" }), "deny")
    assert.strictEqual(decide({ expr, enforcement: "require_approval" }), "require_approval")
    assert.strictEqual(decide({ expr, enforcement: "warn" }), "warn")
    assert.strictEqual(decide({ expr, enforcement: "allow" }), "warn")
    assert.strictEqual(decide({ expr, enforcement: "deny", enforcementLevel: "advisory" }), "warn")
  })

  it("POLICY-4 a failing clause is absorbed where the other side decides", () => {
    assert.strictEqual(decide({ expr: "context.n > 1 || true" }), "allow")
    assert.strictEqual(decide({ expr: "!(context.n > 1 && false)" }), "allow")
  })

  it("POLICY-4 an expression that uses up its budget is a policy error", () => {
    const many = Array.from({ length: 1000 }, (_, i) => i)
    const verdict = made({ expr: "context.m.all(a, context.m.all(b, a + b >= 0.0))" }).evaluate({
      context: { m: many }
    })
    assert.strictEqual(verdict.decision, "deny")
    assert.strictEqual(verdict.reasons[0]?.error?.code, "budget_exceeded")
  })

  it.effect("POLICY-5 refuses with line, column, a caret and the nearest name", () =>
    Effect.gen(function* () {
      const policies = [
        { id: "a", name: "Trust", expr: "true &&\n  actor.trust_scor > 1" },
        { id: "b", name: "Status", expr: "resource.status = 1" },
        { id: "c", name: "Number", expr: "actor.trust_score" }
      ]
      const refusal = yield* Effect.flip(PolicySet.compile(policies))
      assert.deepEqual(
        refusal.errors.map((e) => [e.policyId, e.line, e.column, e.message]),
        [
          ["a", 2, 9, "`actor` has no field `trust_scor`; did you mean `trust_score`?"],
          ["b", 1, 17, "`=` is no operator; compare with `==`"],
          ["c", 1, 7, "the expression is a double and must be a bool"]
        ]
      )
      assert.strictEqual(refusal.errors[0]?.excerpt, "  actor.trust_scor > 1\n        ^")
      assert.include(refusal.message, "policy `Trust` (a):2:9: `actor` has no field `trust_scor`")
    })
  )

  it.effect("POLICY-6 loads the linear engine for a pattern that needs it", () =>
    Effect.gen(function* () {
      const set = yield* PolicySet.compile([
        { id: 1, name: "slow elsewhere", expr: '!request.content.matches("(a+)+$")' }
      ])
      assert.isTrue(set.evaluate({ request: { content: `${"a".repeat(5000)}b` } }).allowed)
      assert.isFalse(set.evaluate({ request: { content: "baaa" } }).allowed)
    })
  )

  it("POLICY-7 a set with one wrong policy is refused whole, with every error", () => {
    const result = PolicySet.compileSync([
      { id: 1, name: "good", expr: "true" },
      { id: 1, name: "", expr: "1", priority: Number.NaN },
      { id: 2, name: "bad", expr: "x", enforcementLevel: "extreme" as "hard" }
    ])
    assert.isFalse(result.ok)
    if (result.ok) return
    assert.deepEqual(
      result.errors.map((e) => `${e.policyId} ${e.field}`),
      ["1 name", "1 priority", "1 id", "1 expr", "2 enforcementLevel", "2 expr"]
    )
  })

  it("GOVERN-8 policies that read facts which are not held are left out and named", () => {
    const set = made(
      { name: "trust", expr: "actor.trust_score > 90" },
      { name: "part", expr: "size(resource.resource_data) > 0 || true" },
      { name: "below", expr: "resource.resource_data.owner == 'x' || true" },
      { name: "keyed", expr: "context['cost_today'] > 1.0 || true" },
      { name: "dynamic", expr: "context[request.tool] == 1 || true" },
      { name: "asked", expr: "has(actor.location) || true" },
      { name: "own", expr: "request.tokens < 10" },
      { name: "elsewhere", expr: "actor.trust_score > 1", scope: { agents: ["other"] } }
    )
    const input = {
      agent_id: "me",
      actor: { trust_score: 1 },
      request: { tokens: 5, tool: "t" },
      context: {},
      resource: {}
    }
    const deferred = (...facts: ReadonlyArray<string>): ReadonlyArray<string> =>
      set.evaluate(input, { unheld: set.unheld(facts) }).deferred.map((p) => p.name)
    assert.deepEqual(deferred("actor.trust_score"), ["trust"])
    assert.deepEqual(deferred("resource.resource_data"), ["part", "below"])
    assert.deepEqual(deferred("resource.resource_data.owner"), ["part", "below"])
    assert.deepEqual(deferred("context.cost_today"), ["keyed", "dynamic"])
    assert.deepEqual(deferred("actor"), ["trust", "asked"])
    assert.deepEqual(deferred("action"), [])
    const all = set.evaluate(input, { unheld: set.unheld(PolicySet.platformFacts) })
    assert.strictEqual(all.decision, "allow")
    assert.strictEqual(all.evaluated, 1)
    assert.deepEqual(all.evaluatedIds(), [7])
    assert.strictEqual(set.unheld(["actor"]), set.unheld(["actor"]))
    assert.deepEqual(set.reads(4), ["context.cost_today"])
  })

  it("POLICY-5 the system policies compile as they are listed", () => {
    const content = "request.content"
    const listed = [
      `!${content}.contains("sk-") && !${content}.contains("AKIA") && !${content}.contains("sk-ant-")`,
      `!${content}.matches("\\\\d{3}-\\\\d{2}-\\\\d{4}")`,
      `!${content}.matches("\\\\d{4}[\\\\s-]?\\\\d{4}[\\\\s-]?\\\\d{4}[\\\\s-]?\\\\d{4}")`,
      `!${content}.contains("-----BEGIN") || !${content}.contains("PRIVATE KEY")`,
      `!${content}.contains("postgres://") && !${content}.contains("mongodb://") && !${content}.contains("mysql://")`,
      `actor.trust_score >= resource.trust_tier_required && resource.status == "active" && resource.health_status != "unhealthy"`
    ]
    const set = made(...listed.map((expr) => ({ expr })))
    const resource = { trust_tier_required: 40, status: "active", health_status: "unknown" }
    const ask = (text: string, trust_score = 40): ReadonlyArray<string | number> =>
      set.evaluate({ actor: { trust_score }, resource, request: { content: text } }).reasons.map((r) => r.id)
    assert.deepEqual(ask("a harmless text"), [])
    assert.deepEqual(ask("number 123-45-6789"), [2])
    assert.deepEqual(ask("card 4111 1111 1111 1111"), [3])
    assert.deepEqual(ask("at postgres://host"), [5])
    assert.deepEqual(ask("", 39.9), [6])
  })

  it("bears any input", () => {
    const set = made(
      { expr: "actor.trust_score > 1", scope: { agents: ["*a"] } },
      { expr: "context.a.b.c == 1" }
    )
    const hostile: ReadonlyArray<unknown> = [
      null,
      undefined,
      5,
      "x",
      [],
      { actor: 5, context: [], resource: "r" },
      { agent_id: 7, actor: null, context: { a: { b: () => 1 } } },
      { agent_id: "a", actor: new Map(), context: new Date(), resource: { tags: [1, null, {}] } },
      { actor: { trust_score: Number.NaN }, agent_id: "xa", context: { a: Symbol("x") } },
      Object.create(null)
    ]
    for (const input of hostile) {
      assert.include(["allow", "deny"], set.evaluate(input as PolicySet.PolicyInput).decision)
      assert.isArray(set.evaluate(input as PolicySet.PolicyInput).explain().policies)
    }
  })

  it("GOVERN-8 a policy whose scope needs a fact that is not held is left to the platform", () => {
    const set = made(
      { name: "by type", expr: "false", scope: { resourceTypes: ["database"] } },
      { name: "by tag", expr: "false", scope: { tags: ["prod"], agents: ["bot-*"] } },
      { name: "elsewhere", expr: "false", scope: { tags: ["prod"], agents: ["ci"] } },
      { name: "by id", expr: "true", scope: { resourceIds: ["r1"] } }
    )
    const unheld = set.unheld(["resource.resource_type", "resource.tags"])
    const verdict = set.evaluate({ agent_id: "bot-1", resource: { id: "r1" } }, { unheld })
    assert.deepEqual(
      verdict.deferred.map((p) => p.name),
      ["by type", "by tag"]
    )
    assert.strictEqual(verdict.decision, "allow")
    assert.deepEqual(verdict.evaluatedIds(), [4])
    assert.strictEqual(verdict.evaluated, 1)
    // A stray value for a fact that is not held changes nothing.
    const stray = set.evaluate(
      { agent_id: "bot-1", resource: { id: "r1", resource_type: "database" } },
      { unheld }
    )
    assert.strictEqual(stray.decision, "allow")
    assert.deepEqual(stray.deferred, verdict.deferred)
  })

  it("explains which clause was false, with the values it saw", () => {
    const set = made({ expr: "actor.trust_score >= 60 && (resource.status == 'active' || has(actor.role))" })
    const { policies } = set.evaluate({ actor: { trust_score: 71 }, resource: { status: "error" } }).explain()
    assert.deepEqual(policies, [
      {
        id: 1,
        name: "policy 1",
        version: undefined,
        outcome: "violated",
        clauses: [
          {
            text: "actor.trust_score >= 60",
            outcome: true,
            error: undefined,
            saw: { "actor.trust_score": 71 }
          },
          {
            text: "resource.status == 'active'",
            outcome: false,
            error: undefined,
            saw: { "resource.status": "error" }
          },
          { text: "has(actor.role)", outcome: false, error: undefined, saw: {} }
        ]
      }
    ])
  })

  it("explains without repeating long texts", () => {
    const set = made({ expr: "!request.content.contains('x')" })
    const [policy] = set.evaluate({ request: { content: "x".repeat(500) } }).explain().policies
    assert.deepEqual(policy?.clauses[0]?.saw, { "request.content": "text of 500 characters" })
  })

  it("DLP-4 explains and gives reasons without repeating what a call sends", () => {
    const secret = ["321", "54", "9876"].join("-")
    const number = Number(secret.replaceAll("-", ""))
    const set = made({
      expr:
        "request.content.contains('x') && request.arguments.note != 'a' && request.arguments.list.size() == 1 " +
        "&& request.arguments.n > 1 && context.long != 'a' && context.m[request.content] == 1",
      enforcement: "allow"
    })
    const verdict = set.evaluate({
      request: {
        content: `x ${secret}`,
        arguments: { note: secret, list: [{ [secret]: secret }], n: number }
      },
      context: { long: { deep: [`${secret} ${"y".repeat(100)}`] }, m: {} }
    })
    const [policy] = verdict.explain().policies
    const told = JSON.stringify([policy, verdict.matched])
    assert.notInclude(told, secret)
    assert.notInclude(told, String(number))
    assert.include(told, "the map has no such key")
    assert.deepEqual(
      policy?.clauses.slice(0, 5).map((c) => Object.values(c.saw)[0]),
      [
        "text of 13 characters",
        "text of 11 characters",
        "list of 1",
        "a number",
        { deep: ["text of 112 characters"] }
      ]
    )
  })

  it("takes a character beyond the basic plane for one in a scope", () => {
    const set = made({ expr: "false", scope: { agents: ["a?c"] } })
    assert.strictEqual(set.evaluate({ agent_id: "a😀c" }).decision, "deny")
    assert.strictEqual(set.evaluate({ agent_id: "a😀😀c" }).decision, "allow")
  })

  it("shows neither the set nor the input when a verdict is logged", () => {
    const verdict = made({ expr: "request.tool == 'x'" }).evaluate({ request: { tool: "a-private-name" } })
    assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(verdict))).sort(), [
      "decision",
      "deferred",
      "evaluated",
      "matched"
    ])
    assert.notInclude(JSON.stringify(verdict), "a-private-name")
  })

  it("counts what decided", () => {
    const set = made(
      { name: "seen", expr: "actor.tier != 'basic'" },
      { name: "never", expr: "false", enforcement: "deny" }
    )
    for (const tier of ["basic", "basic", "trusted"]) set.evaluate({ actor: { tier } })
    assert.deepEqual(
      set.matchCounts().map((m) => [m.name, m.count]),
      [
        ["seen", 2],
        ["never", 0]
      ]
    )
  })

  it("tells what differs between two sets and which recorded inputs flip", () => {
    const before = made(
      { id: "a", expr: "actor.trust_score >= 40" },
      { id: "b", expr: "true", scope: { tags: ["y", "x"] } }
    )
    const after = made(
      { id: "a", expr: "actor.trust_score >= 60", priority: 3 },
      {
        id: "b",
        expr: "true",
        scope: { tags: ["x", "y"], agents: [] },
        enforcementLevel: "hard",
        name: "policy 2"
      },
      { id: "c", expr: "true" }
    )
    const diff = PolicySet.diff(before, after)
    assert.deepEqual(
      [diff.added.map((p) => p.id), diff.removed, diff.changed.map((p) => [p.id, p.fields])],
      [["c"], [], [["a", ["priority", "expr"]]]]
    )
    const inputs = [30, 50, 70].map((trust_score) => ({ actor: { trust_score } }))
    const replay = PolicySet.replay(before, after, inputs)
    assert.strictEqual(replay.inputs, 3)
    assert.deepEqual(replay.decisions, { allow: 1, warn: 0, require_approval: 0, deny: 2 })
    assert.deepEqual(
      replay.flips.map((f) => [f.index, f.before, f.after, f.because.map((r) => r.id)]),
      [[1, "allow", "deny", ["a"]]]
    )
  })
})
