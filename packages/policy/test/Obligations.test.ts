import { PolicyFile, PolicySet, StoredPolicy } from "@agion/policy"
import { assert, describe, it } from "@effect/vitest"

const setOf = (...policies: ReadonlyArray<Partial<PolicySet.Policy>>): PolicySet.PolicySet => {
  const made = PolicySet.compileSync(
    policies.map((p, i) => ({ id: i + 1, name: `policy ${i + 1}`, expr: "true", ...p }))
  )
  if (!made.ok) throw new Error(made.errors.map((e) => e.message).join("\n"))
  return made.set
}

const wanted = (verdict: PolicySet.Verdict) =>
  verdict.obligations.map(({ policy, redact }) => [policy.id, redact])

describe("obligations", () => {
  it("come from what decided something, in priority order, each kind once", () => {
    const set = setOf(
      { enforcement: "allow", actions: { redact: ["phone", "iban", "phone"] } },
      { enforcement: "warn", actions: { redact: ["email"] }, priority: 5 },
      { enforcement: "deny", expr: "false", actions: { redact: ["ssn"] } },
      { enforcement: "warn" }
    )
    const verdict = set.evaluate({})
    assert.deepEqual(wanted(verdict), [
      [2, ["email"]],
      [1, ["phone", "iban"]]
    ])
    assert.deepEqual(verdict.obligations[0]?.policy, { id: 2, name: "policy 2", version: undefined })
  })

  it("POLICY-4 a policy that cannot be evaluated wants what it would if it had decided", () => {
    const set = setOf({ enforcement: "allow", expr: "context.level > 3", actions: { redact: ["phone"] } })
    assert.deepEqual(wanted(set.evaluate({})), [[1, ["phone"]]])
    assert.deepEqual(wanted(set.evaluate({ context: { level: 2 } })), [])
  })

  it("are one shared empty list where no policy has any", () => {
    const set = setOf({ enforcement: "warn" })
    assert.strictEqual(set.evaluate({}).obligations, set.evaluate({ actor: {} }).obligations)
  })

  it("GOVERN-8 those of a deferred policy can be asked for", () => {
    const set = setOf({ enforcement: "warn", expr: "actor.tier == 'basic'", actions: { redact: ["phone"] } })
    const { deferred, obligations } = set.evaluate({}, { unheld: set.unheld(["actor.tier"]) })
    assert.deepEqual(obligations, [])
    assert.deepEqual(
      set.obligations(deferred).map(({ redact }) => redact),
      [["phone"]]
    )
  })

  it("POLICY-5 a kind that nobody knows is refused with a suggestion", () => {
    const made = PolicySet.compileSync([
      { id: 1, name: "a", expr: "true", actions: { redact: ["emails", "names"] } }
    ])
    assert.deepEqual(made.ok ? [] : made.errors.map(({ field }) => field), ["actions", "actions"])
    const messages = made.ok ? [] : made.errors.map(({ message }) => message)
    assert.include(messages[0], "did you mean `email`?")
    assert.include(messages[1], "there are private_key, db_uri")
  })

  it("a policy that redacts more is not shadowed, unless the other denies", () => {
    const expr = "actor.trust_score < 20"
    const shadowed = (effect: PolicySet.Enforcement, redact: ReadonlyArray<string>) =>
      PolicySet.findings(
        setOf(
          { enforcement: effect, expr, actions: { redact: ["email"] } },
          { enforcement: "warn", expr: `${expr} && actor.type == 'agent'`, actions: { redact } }
        )
      ).map(({ kind }) => kind)
    assert.deepEqual(shadowed("warn", ["phone"]), [])
    assert.deepEqual(shadowed("warn", ["email"]), ["shadowed"])
    assert.deepEqual(shadowed("deny", ["phone"]), ["shadowed"])
  })

  it("are compared by a diff", () => {
    const diff = PolicySet.diff(setOf({}), setOf({ actions: { redact: ["phone"] } }))
    assert.deepEqual(
      diff.changed.map(({ fields }) => fields),
      [["actions"]]
    )
  })

  it("stand in a policy file, which tells what is wrong with them", () => {
    const file = (actions: string) => PolicyFile.check(`policies:\n  - { name: a, expr: "true", ${actions} }`)
    const checked = file("actions: { redact: [phone] }")
    assert.deepEqual(checked.ok && checked.set.policies[0]?.actions, { redact: ["phone"] })
    for (const [actions, message] of [
      ["actions: { redacts: [phone] }", "did you mean `redact`?"],
      ["actions: { redact: phone }", "`redact` is no list of texts"],
      ["actions: [redact]", "`actions` is a map with `redact`"],
      ["actions: { redact: [phon] }", "names no kind `phon`; did you mean `phone`?"]
    ] as const) {
      const refused = file(actions)
      assert.include(refused.ok ? "" : refused.errors.map((e) => e.message).join(), message)
    }
  })

  it("are read from the text of a stored policy; actions that are not ours say nothing", () => {
    const read = (actions: string | null) =>
      StoredPolicy.toSetPolicy({
        id: 1,
        name: "a",
        version: 1,
        priority: 1,
        type: "dlp",
        enforcement: null,
        enforcementLevel: "hard",
        scope: {},
        status: "active",
        policyLanguage: "cel",
        policyExpr: "true",
        actions,
        description: ""
      })?.actions
    assert.deepEqual(read('{"redact":["email"]}'), { redact: ["email"] })
    for (const other of [null, "", "null", "3", '["redact"]', '{"notify":"ops"}'])
      assert.isUndefined(read(other))
    // What is wrong is kept, so that the set is refused and nothing goes on unredacted.
    assert.deepEqual(read('{"redact":true}'), { redact: ["true"] })
    assert.deepEqual(read('{"redact":["email",1]}'), { redact: ["email", "1"] })
  })
})
