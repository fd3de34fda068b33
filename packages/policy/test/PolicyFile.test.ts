import { PolicyFile } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"

const good = `
policies:
  - id: trust-floor
    name: Trust floor
    policy_expr: actor.trust_score >= 60
    scope: { resource_types: [database], agents: ["bot-*"] }
    message: needs a trust score of 60
  - name: Spend
    enforcement: require_approval
    priority: 10
    expr: |
      context.cost_today > 5.0
        && actor.tier != "admin"
  - name: Off
    enabled: false
    expr: "false"
cases:
  - name: kept out
    input: { agent_id: bot-1, actor: { trust_score: 40 }, resource: { resource_type: database }, context: { cost_today: 0 } }
    expect: deny
  - name: asks
    input: { actor: { tier: basic }, context: { cost_today: 6 } }
    expect: { decision: require_approval, reasons: [Spend], warnings: [] }
  - name: wrong on purpose
    input: { context: { cost_today: 0 } }
    expect: { decision: deny, reasons: [Spend] }
`

const errorsOf = (text: string): ReadonlyArray<string> => {
  const checked = PolicyFile.check(text)
  return checked.ok ? [] : checked.errors.map((e) => `${e.line}:${e.column} ${e.message}`)
}

describe("PolicyFile", () => {
  it("reads the same objects as the API, and runs their cases", () => {
    const checked = PolicyFile.check(good)
    if (!checked.ok) throw new Error(JSON.stringify(checked.errors))
    assert.deepInclude(checked.file.policies[0], {
      id: "trust-floor",
      expr: "actor.trust_score >= 60",
      scope: { resourceTypes: ["database"], agents: ["bot-*"] }
    })
    assert.deepInclude(checked.file.policies[2], { id: "Off", status: "inactive" })
    assert.deepEqual(
      PolicyFile.test(checked.set, checked.file.cases).map((r) => [r.name, r.passed, r.message]),
      [
        ["kept out", true, ""],
        ["asks", true, ""],
        ["wrong on purpose", false, "expected deny, got allow; expected reasons [Spend], got []"]
      ]
    )
  })

  it("POLICY-5 tells the place in the file, also inside an expression", () => {
    const text = `policies:
  - name: a
    policy_expr: actor.trust_scor > 1
  - name: b
    expr: "true && acter.id == 'x'"
  - name: c
    expr: |
      true &&
        resource.statu == "x"
`
    assert.deepEqual(errorsOf(text), [
      "3:24 policy `a`: `actor` has no field `trust_scor`; did you mean `trust_score`?",
      "5:20 policy `b`: unknown name `acter`; did you mean `actor`?",
      "9:18 policy `c`: `resource` has no field `statu`; did you mean `status`?"
    ])
    const [first] = (() => {
      const checked = PolicyFile.check(text)
      return checked.ok ? [] : checked.errors
    })()
    assert.strictEqual(first?.excerpt, `    policy_expr: actor.trust_scor > 1\n${" ".repeat(23)}^`)
  })

  it("refuses a wrong form with everything that is wrong", () => {
    const text = `policies:
  - name: a
    policy_exp: "true"
    priority: high
    enforcement: block
    scope: { resource_type: [x], agents: y }
  - just text
cases:
  - expect: maybe
`
    assert.deepEqual(
      errorsOf(text),
      [
        "3:17 unknown field `policy_exp`; did you mean `policy_expr`?",
        "2:5 the policy has no `policy_expr`",
        "7:5 a policy is a map with `name` and `policy_expr`",
        "9:5 the case has no `input` map",
        "9:13 `expect` is one of allow, warn, require_approval, deny"
      ].map((e) => e.replace("`expect` is one", "`decision` is one"))
    )
    assert.deepEqual(errorsOf("policies: { a: 1 }"), ["1:11 `policies` is no list"])
    assert.deepEqual(errorsOf("[]"), ["1:1 a policy file is a map with `policies` and `cases`"])
    assert.include(errorsOf("policies: [}")[0], "1:12")
  })

  it("bounds size, aliases and nesting", () => {
    assert.include(errorsOf(`# ${"x".repeat(1_100_000)}`)[0], "longer than")
    const bomb = `a: &a [x, x]\n${"bcdefghij"
      .split("")
      .map((c, i) => `${c}: &${c} [${`*${"abcdefghij"[i]}, `.repeat(9)}]`)
      .join("\n")}`
    assert.include(errorsOf(bomb)[0], "aliases")
    assert.include(errorsOf(`policies: ${"[".repeat(100_000)}`)[0], "nested too deeply")
    assert.include(errorsOf(`policies:\n  ${"- ".repeat(100_000)}`)[0], "nested too deeply")
    assert.isAbove(errorsOf(`policies: ${"[".repeat(1_000)}`).length, 0)
  })

  const one = (...lines: ReadonlyArray<string>): string =>
    `policies:\n  - name: a\n${lines.map((l) => `    ${l}\n`).join("")}`

  it("refuses what would be silently without effect", () => {
    const expr = 'policy_expr: "true"'
    assert.deepEqual(errorsOf(one(expr, "enabled: no")), ["4:14 `enabled` is true or false"])
    assert.deepEqual(errorsOf(one(expr, "enabled: 'no'")), ["4:14 `enabled` is true or false"])
    assert.deepEqual(errorsOf(one(expr, "enabled: false", "status: active")), [
      "4:14 `enabled: false` contradicts `status: active`"
    ])
    assert.deepEqual(errorsOf(one(expr, "enabled: true", "status: draft")), [
      "4:14 `enabled: true` contradicts `status: draft`"
    ])
    assert.deepEqual(errorsOf(one(expr, "enabled: false", "status: draft")), [])
    assert.deepEqual(errorsOf(one(expr, 'expr: "false"')), [
      "4:11 `policy_expr` and `expr` are one field; write one of them"
    ])
    assert.deepEqual(errorsOf('policies:\n  - name: 5\n    expr: "true"\n'), ["2:11 `name` is no text"])
    assert.deepEqual(errorsOf(`policies: ${"[".repeat(900)}${"]".repeat(900)}`), [
      "1:1 the file is nested too deeply"
    ])
  })

  it("refuses names in the input of a case that no policy can read", () => {
    const withInput = (input: string): string =>
      `${one("expr: actor.trust_score > 5.0")}cases:\n  - input: ${input}\n    expect: deny\n`
    assert.include(errorsOf(withInput("{ acter: { trust_score: 6 } }"))[0], "did you mean `actor`?")
    assert.include(errorsOf(withInput("{ actor: { trust_scor: 6 } }"))[0], "did you mean `trust_score`?")
    assert.include(errorsOf(withInput("{ request: { argument: {} } }"))[0], "did you mean `arguments`?")
    assert.deepEqual(
      errorsOf(withInput("{ context: { any: 1 }, metadata: { x: 1 }, actor: { metadata: { y: 2 } } }")),
      []
    )
  })

  it("describes itself for editors", () => {
    const { properties, $defs } = PolicyFile.jsonSchema as {
      readonly properties: object
      readonly $defs: { readonly policy: { readonly properties: object } }
    }
    assert.hasAllKeys(properties, ["$schema", "policies", "cases"])
    assert.containsAllKeys($defs.policy.properties, [
      "id",
      "name",
      "policy_expr",
      "scope",
      "enforcement_level"
    ])
  })
})
